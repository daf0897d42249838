"""Layer factories and blocks: every part of a CNN, chosen by name or given as a callable."""

from cnnrecipes.layers.activation import activation
from cnnrecipes.layers.blocks import basic_block, bottleneck_block, conv_norm_act, vgg_stage
from cnnrecipes.layers.conv import conv2d, max_pool
from cnnrecipes.layers.fused_batch_norm import FusedBatchNormalization, with_fused_norms, with_keras_norms
from cnnrecipes.layers.norm import norm

__all__ = [
    "FusedBatchNormalization",
    "activation",
    "basic_block",
    "bottleneck_block",
    "conv2d",
    "conv_norm_act",
    "max_pool",
    "norm",
    "vgg_stage",
    "with_fused_norms",
    "with_keras_norms",
]

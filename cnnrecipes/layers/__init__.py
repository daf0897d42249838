"""Layer factories and blocks: every part of a CNN, chosen by name or given as a callable."""

from cnnrecipes.layers.activation import activation
from cnnrecipes.layers.blocks import conv_norm_act, dense_act, squeeze_excite, vgg_stage
from cnnrecipes.layers.branch_scale import scale_channels
from cnnrecipes.layers.conv import conv2d
from cnnrecipes.layers.dropout import dropout, spatial_dropout, stochastic_depth
from cnnrecipes.layers.fast_group_norm import FastGroupNormalization
from cnnrecipes.layers.fused_kernel_batch_norm import FusedBatchNormalization
from cnnrecipes.layers.initializers import initializer
from cnnrecipes.layers.keras_exchange import with_fast_norms, with_keras_norms
from cnnrecipes.layers.layer_factory_bundle import LayerFactories
from cnnrecipes.layers.norm import norm, synchronized_batch_norm
from cnnrecipes.layers.pool import BlurPool, average_pool, blurred_max_pool, global_pool, max_pool, pool
from cnnrecipes.layers.residual_blocks import (
    Branch,
    Conv,
    basic_convs,
    bottleneck_convs,
    nothing,
    residual_block,
)
from cnnrecipes.layers.shortcuts import SHORTCUTS

__all__ = [
    "SHORTCUTS",
    "BlurPool",
    "Branch",
    "Conv",
    "FastGroupNormalization",
    "FusedBatchNormalization",
    "LayerFactories",
    "activation",
    "average_pool",
    "basic_convs",
    "blurred_max_pool",
    "bottleneck_convs",
    "conv2d",
    "conv_norm_act",
    "dense_act",
    "dropout",
    "global_pool",
    "initializer",
    "max_pool",
    "norm",
    "nothing",
    "pool",
    "residual_block",
    "scale_channels",
    "spatial_dropout",
    "squeeze_excite",
    "stochastic_depth",
    "synchronized_batch_norm",
    "vgg_stage",
    "with_fast_norms",
    "with_keras_norms",
]

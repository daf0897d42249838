"""Blocks without a shortcut; each receives its layers as `LayerFactories`. Activations are (N, H, W, C)."""

from __future__ import annotations

import keras

from cnnrecipes.layers.layer_factory_bundle import LayerFactories


def conv_norm_act(x, width: int, kernel: int = 3, *, stride: int = 1, factories: LayerFactories, name: str):
    """Apply convolution, normalization and activation: (N, H, W, C) -> (N, H / stride, W / stride, width)."""
    x = factories.conv(x, width, kernel, stride=stride, name=f"{name}_conv")
    return factories.norm_act(x, norm=f"{name}_norm", act=f"{name}_act")


def dense_act(x, width: int, *, dropout: float = 0.0, factories: LayerFactories, name: str):
    """Apply a fully connected layer, its activation, and dropout: (N, C) -> (N, width)."""
    x = keras.layers.Dense(width, kernel_initializer=factories.init(), name=name)(x)
    x = factories.activation(name=f"{name}_act")(x)
    return keras.layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x


def squeeze_excite(x, reduction: int, *, factories: LayerFactories, name: str):
    """Apply a squeeze-and-excitation block (Hu et al. 2017, fig. 3).

    Args:
        reduction: reduction ratio; the bottleneck has C // reduction units, at least 1.
    """
    channels = x.shape[-1]
    w = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    w = factories.conv(w, max(1, channels // reduction), 1, use_bias=True, name=f"{name}_reduce")
    w = factories.conv(factories.activation(name=f"{name}_act")(w), channels, 1, use_bias=True, name=f"{name}_expand")
    w = keras.layers.Activation("sigmoid", name=f"{name}_gate")(w)
    return keras.layers.Multiply(name=f"{name}_excite")([x, w])


def vgg_stage(x, width: int, depth: int, *, factories: LayerFactories, name: str):
    """Apply `depth` 3x3 convolutions and a 2x2 pooling (Simonyan & Zisserman 2014, table 1).

    (N, H, W, C) -> (N, H // 2, W // 2, width)
    """
    for i in range(1, depth + 1):
        x = conv_norm_act(x, width, factories=factories, name=f"{name}_{i}")
    return factories.pool(x, 2, stride=2, name=f"{name}_pool")

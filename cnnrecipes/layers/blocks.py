"""Blocks; each receives its convolution, normalization and activation and names none of them.

`conv(x, width, kernel, stride=, name=)` returns activations; `norm(name=)` and `activation(name=)` return layers.
Activations are (N, H, W, C) -> (N, H / stride, W / stride, width).
"""

from __future__ import annotations

import keras


def conv_norm_act(x, width, kernel=3, *, conv, norm, activation, stride=1, name):
    """Convolution, normalization, activation."""
    x = conv(x, width, kernel, stride=stride, name=f"{name}_conv")
    return activation(name=f"{name}_act")(norm(name=f"{name}_norm")(x))


def basic_block(x, width, *, conv, norm, activation, shortcut, stride=1, last_gamma="zeros", name):
    """Two 3x3 convolutions beside a shortcut (He et al. 2015, fig. 2).

    With `last_gamma="zeros"` it starts as the shortcut alone.
    """
    y = conv(x, width, 3, stride=stride, name=f"{name}_conv1")
    y = activation(name=f"{name}_act1")(norm(name=f"{name}_norm1")(y))
    y = conv(y, width, 3, stride=1, name=f"{name}_conv2")
    y = norm(gamma_initializer=last_gamma, name=f"{name}_norm2")(y)
    return _add(x, y, stride, shortcut, conv, norm, activation, name)


def bottleneck_block(x, width, *, conv, norm, activation, shortcut, stride=1, last_gamma="zeros", name):
    """1x1, 3x3 and 1x1 convolutions to `width` channels, a quarter of them inside (He et al. 2015, fig. 5).

    The 3x3 strides ("v1.5", as torchvision has it).
    """
    y = conv(x, width // 4, 1, stride=1, name=f"{name}_conv1")
    y = activation(name=f"{name}_act1")(norm(name=f"{name}_norm1")(y))
    y = conv(y, width // 4, 3, stride=stride, name=f"{name}_conv2")
    y = activation(name=f"{name}_act2")(norm(name=f"{name}_norm2")(y))
    y = conv(y, width, 1, stride=1, name=f"{name}_conv3")
    y = norm(gamma_initializer=last_gamma, name=f"{name}_norm3")(y)
    return _add(x, y, stride, shortcut, conv, norm, activation, name)


def _add(x, y, stride, shortcut, conv, norm, activation, name):
    if stride != 1 or x.shape[-1] != y.shape[-1]:
        x = shortcut(x, y.shape[-1], stride=stride, conv=conv, norm=norm, name=f"{name}_shortcut")
    return activation(name=f"{name}_out")(keras.layers.Add(name=f"{name}_add")([x, y]))


def pad_shortcut(x, width, *, stride, conv, norm, name):
    """Option A of He et al. 2015: every stride-th pixel, zeros in the new channels; no parameters."""
    if stride > 1:
        x = keras.layers.MaxPooling2D(1, strides=stride, name=f"{name}_subsample")(x)
    before = (width - x.shape[-1]) // 2
    after = width - x.shape[-1] - before
    # Seen as "channels first", the last two axes are W and C: Keras' own layer pads channels, and any Keras loads it.
    padding = ((0, 0), (before, after))
    return keras.layers.ZeroPadding2D(padding, data_format="channels_first", name=f"{name}_channels")(x)


def projection_shortcut(x, width, *, stride, conv, norm, name):
    """Option B of He et al. 2015: a 1x1 convolution and normalization."""
    return norm(name=f"{name}_norm")(conv(x, width, 1, stride=stride, name=f"{name}_conv"))


def vgg_stage(x, width, depth, *, conv, norm, activation, name):
    """`depth` 3x3 convolutions and a 2x2 max pooling (Simonyan & Zisserman 2014, table 1).

    (N, H, W, C) -> (N, H // 2, W // 2, width)
    """
    for i in range(1, depth + 1):
        x = conv_norm_act(x, width, conv=conv, norm=norm, activation=activation, name=f"{name}_{i}")
    return keras.layers.MaxPooling2D(2, name=f"{name}_pool")(x)

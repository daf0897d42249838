"""Convolution and pooling with symmetric padding, as the papers' code and PyTorch have it.

TensorFlow's "same" pads only bottom and right where a stride of 2 meets an even size; a checkpoint carried
over from PyTorch would see every such image shifted by a pixel. So padding that strides is a layer of its own.
"""

from __future__ import annotations

import keras


def conv2d(x, width: int, kernel: int = 3, *, stride: int = 1, use_bias: bool = False, name: str):
    """A convolution padded by (kernel - 1) / 2 on every side, initialized with `he_normal` (He et al. 2015b, eq. 10).

    Args:
        x: (N, H, W, C), float.
        width: output channels.
        kernel: odd kernel size.

    Returns:
        (N, ceil(H / stride), ceil(W / stride), width).
    """
    padding = "same"
    if stride > 1 and kernel > 1:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        padding = "valid"
    return keras.layers.Conv2D(
        width, kernel, strides=stride, padding=padding, use_bias=use_bias, kernel_initializer="he_normal", name=name
    )(x)


def max_pool(x, window: int, *, stride: int, name: str):
    """Max pooling; an odd window is padded by (window - 1) / 2 on every side. Expects values >= 0, as after a ReLU.

    Returns:
        (N, ceil(H / stride), ceil(W / stride), C) for an odd window, (N, H // stride, W // stride, C) for an even one.
    """
    if window % 2:
        x = keras.layers.ZeroPadding2D(window // 2, name=f"{name}_pad")(x)
    return keras.layers.MaxPooling2D(window, strides=stride, name=name)(x)

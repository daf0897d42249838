"""Convolution with symmetric padding, as in the papers' code and in PyTorch.

TensorFlow's "same" pads only bottom and right at a stride of 2 and an even size, which shifts the image by a pixel for
weights from PyTorch. Strided convolutions are therefore padded by a layer of their own.
"""

from __future__ import annotations

import keras

from cnnrecipes.errors import ModelError
from cnnrecipes.layers.initializers import InitializerFactory, initializer


def conv2d(
    x,
    width: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    padding: int | None = None,
    groups: int = 1,
    use_bias: bool = False,
    init: str | InitializerFactory = "he_normal",
    name: str,
):
    """Apply a convolution with symmetric zero padding, also at a stride above 1.

    Args:
        x: (N, H, W, C), float.
        width: output channels.
        kernel: kernel size.
        padding: pixels on every side; None: (kernel - 1) / 2, which requires an odd kernel.
        groups: groups of a grouped convolution (Krizhevsky et al. 2012; Xie et al. 2016); divides both channel counts.
        init: see `layers.initializer`.

    Returns:
        (N, ceil(H / stride), ceil(W / stride), width) if `padding` is None.

    Raises:
        ModelError: an even kernel without a padding, or groups that do not divide the channels.
    """
    if padding is None and kernel % 2 == 0:
        raise ModelError(
            f"{name}: an even kernel of {kernel} has no symmetric padding; give padding=, or an odd kernel"
        )
    if x.shape[-1] % groups or width % groups:
        raise ModelError(
            f"{name}: groups = {groups} does not divide {x.shape[-1]} and {width} channels; give a divisor of both"
        )
    keeps_size = padding is None and (stride == 1 or kernel == 1)
    pixels = kernel // 2 if padding is None else padding
    if not keeps_size and pixels:
        x = keras.layers.ZeroPadding2D(pixels, name=f"{name}_pad")(x)
    return keras.layers.Conv2D(
        width,
        kernel,
        strides=stride,
        padding="same" if keeps_size else "valid",
        groups=groups,
        use_bias=use_bias,
        kernel_initializer=initializer(init)(),
        name=name,
    )(x)

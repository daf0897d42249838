"""MobileNetV2 in PyTorch with the padding and epsilon of `keras.applications`: the peer of photos_beside_fastai.py.

Sandler et al. 2018, table 2; the weights are those of the Keras model, in the order of its layers. The momentum of
batch norms is PyTorch's default, as fastai trains them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional

# Channels, repeats and stride of the inverted residual blocks; all but the first expand their input six times.
BLOCKS = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))


class ConvNorm(nn.Module):
    """Convolution, padded as Keras does before a stride of 2 on an even size, and batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, depthwise: bool = False):
        super().__init__()
        self.pad = (0, 1, 0, 1) if stride == 2 else (kernel // 2,) * 4
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=inputs if depthwise else 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x):
        return self.norm(self.conv(functional.pad(x, self.pad) if any(self.pad) else x))


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise convolution and 1x1 projection, beside a shortcut if the shapes are equal."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        width = inputs * expansion
        self.expand = nn.Sequential(ConvNorm(inputs, width), nn.ReLU6()) if expansion > 1 else nn.Identity()
        self.depthwise = nn.Sequential(ConvNorm(width, width, 3, stride, depthwise=True), nn.ReLU6())
        self.project = ConvNorm(width, outputs)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


def mobilenet_v2(alpha: float) -> nn.Sequential:
    """The backbone: images (N, 3, H, W) in [-1, 1], H and W multiples of 32 -> features (N, C, H / 32, W / 32)."""
    width = divisible(32 * alpha)
    layers: list[nn.Module] = [nn.Sequential(ConvNorm(3, width, 3, 2), nn.ReLU6())]
    for number, (channels, repeats, stride) in enumerate(BLOCKS):
        for repeat in range(repeats):
            outputs = divisible(channels * alpha)
            layers.append(InvertedResidual(width, outputs, stride if repeat == 0 else 1, 6 if number else 1))
            width = outputs
    last = divisible(1280 * alpha) if alpha > 1 else 1280
    return nn.Sequential(*layers, nn.Sequential(ConvNorm(width, last), nn.ReLU6()))


def divisible(channels: float) -> int:
    """Round to a multiple of 8, but not down by more than 10%."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def load_keras_weights(model: nn.Module, arrays: Iterator[np.ndarray]) -> None:
    """Set the weights of a model from those of the Keras model, `model.get_weights()`."""
    with torch.no_grad():
        for part in (one for one in model.modules() if isinstance(one, ConvNorm)):
            kernel = next(arrays)
            depthwise = part.conv.groups > 1
            part.conv.weight.copy_(torch.from_numpy(kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))))
            norm = part.norm
            for target in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                target.copy_(torch.from_numpy(next(arrays)))
    if next(arrays, None) is not None:
        raise ValueError("the Keras model has more weights")

"""The architectures in plain PyTorch, with the parameter names of torchvision and of common CIFAR implementations."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def norm_of(kind: str):
    """A factory of one of our norms: channels -> module."""
    groups = {"layer": lambda c: 1, "instance": lambda c: c, "group": lambda c: 8}
    return nn.BatchNorm2d if kind == "batch" else lambda c: nn.GroupNorm(groups[kind](c), c)


def conv(inputs: int, width: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, width, kernel, stride, kernel // 2, groups=groups, bias=False)


class Block(nn.Module):
    """torchvision's BasicBlock and Bottleneck (v1.5, or v1); akamaster's with its shortcut A."""

    def __init__(
        self, inputs, width, stride, norm, *, bottleneck=False, inner=None, groups=1, first_strides=False, option="B"
    ):
        super().__init__()
        self.option, self.stride, self.width, self.bottleneck = option, stride, width, bottleneck
        if bottleneck:
            first, second = (stride, 1) if first_strides else (1, stride)
            self.conv1, self.bn1 = conv(inputs, inner, 1, first), norm(inner)
            self.conv2, self.bn2 = conv(inner, inner, 3, second, groups), norm(inner)
            self.conv3, self.bn3 = conv(inner, width, 1), norm(width)
        else:
            self.conv1, self.bn1 = conv(inputs, width, 3, stride), norm(width)
            self.conv2, self.bn2 = conv(width, width, 3), norm(width)
        self.changes = stride != 1 or inputs != width
        if self.changes and option == "B":
            self.downsample = nn.Sequential(conv(inputs, width, 1, stride), norm(width))

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.bottleneck:
            y = self.bn3(self.conv3(functional.relu(y)))
        return functional.relu(y + self.beside(x))

    def beside(self, x):
        if not self.changes:
            return x
        if self.option == "B":
            return self.downsample(x)
        missing = self.width - x.shape[1]
        return functional.pad(
            x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, missing // 2, missing - missing // 2)
        )


class ResNet(nn.Module):
    """torchvision's ResNet; `cifar`: akamaster's, three stages after a 3x3 convolution."""

    def __init__(self, depths, widths, classes, *, kind="batch", cifar=False, inner=0.25, **options):
        super().__init__()
        norm, self.cifar = norm_of(kind), cifar
        stem = 16 if cifar else 64
        self.conv1, self.bn1 = (conv(3, stem, 3) if cifar else conv(3, stem, 7, 2)), norm(stem)
        inputs = stem
        for s, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
            blocks = []
            for b in range(depth):
                stride = 2 if s > 1 and b == 0 else 1
                blocks.append(Block(inputs, width, stride, norm, inner=int(width * inner), **options))
                inputs = width
            setattr(self, f"layer{s}", nn.Sequential(*blocks))
        self.stages = len(depths)
        setattr(self, "linear" if cifar else "fc", nn.Linear(inputs, classes))

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        if not self.cifar:
            x = functional.max_pool2d(x, 3, 2, 1)
        for s in range(1, self.stages + 1):
            x = getattr(self, f"layer{s}")(x)
        x = x.mean((2, 3))
        return self.linear(x) if self.cifar else self.fc(x)


class Sequence(nn.Module):
    """torchvision's VGG and AlexNet: flattened features and a classifier with dropout rate 0."""

    def __init__(self, features, classifier):
        super().__init__()
        self.features, self.classifier = nn.Sequential(*features), nn.Sequential(*classifier)

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


def vgg(depths, widths, classes, *, pixels: int, normalized: bool) -> Sequence:
    features, inputs = [], 3
    for depth, width in zip(depths, widths, strict=True):
        for _ in range(depth):
            features.append(nn.Conv2d(inputs, width, 3, padding=1))
            features += [nn.BatchNorm2d(width)] if normalized else []
            features.append(nn.ReLU())
            inputs = width
        features.append(nn.MaxPool2d(2))
    size = inputs * (pixels // 2 ** len(depths)) ** 2
    return Sequence(features, [*full(size, 4096), *full(4096, 4096), nn.Linear(4096, classes)])


def alexnet(classes: int) -> Sequence:
    features = [nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    features += [nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    features += [nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()]
    features += [nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)]
    # At 95 pixels the final map is 2x2, so that the order of flattening matters.
    first, second = full(256 * 2 * 2, 4096), full(4096, 4096)
    return Sequence(features, [first[2], *first[:2], second[2], *second[:2], nn.Linear(4096, classes)])


def full(inputs: int, width: int) -> list[nn.Module]:
    return [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(0.0)]

"""ResNets in PyTorch with the layers of `cnnrecipes.models.residual_network`: the peer of train_step.py."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def conv_norm(inputs: int, width: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, width, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width))


class PadShortcut(nn.Module):
    """Option A: every stride-th pixel, zeros in the new channels."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.stride, self.before, self.after = stride, (width - inputs) // 2, width - inputs - (width - inputs) // 2

    def forward(self, x):
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(x, (0, 0, 0, 0, self.before, self.after))


class Block(nn.Module):
    """A residual block of (kernel, width, stride) convolutions."""

    def __init__(self, inputs: int, convolutions: list[tuple[int, int, int]], stride: int, option_a: bool):
        super().__init__()
        widths = [inputs, *(width for _, width, _ in convolutions)]
        self.convolutions = nn.ModuleList(
            conv_norm(w, width, kernel, s)
            for w, (kernel, width, s) in zip(widths, convolutions)  # noqa: B905
        )
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != widths[-1]:
            self.shortcut = (
                PadShortcut(inputs, widths[-1], stride) if option_a else conv_norm(inputs, widths[-1], 1, stride)
            )

    def forward(self, x):
        y = x
        for i, convolution in enumerate(self.convolutions):
            y = convolution(y)
            if i + 1 < len(self.convolutions):
                y = functional.relu(y, inplace=True)
        return functional.relu(y + self.shortcut(x), inplace=True)


def build(name: str, classes: int) -> nn.Sequential:
    """resnet20 (CIFAR, option A), resnet18 (CIFAR stem) or resnet50 (ImageNet stem, v1.5)."""
    depths, widths = {
        "resnet20": ((3, 3, 3), (16, 32, 64)),
        "resnet18": ((2, 2, 2, 2), (64, 128, 256, 512)),
        "resnet50": ((3, 4, 6, 3), (256, 512, 1024, 2048)),
    }[name]
    inputs = 16 if name == "resnet20" else 64
    if name == "resnet50":
        layers = [conv_norm(3, inputs, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)]
    else:
        layers = [conv_norm(3, inputs, 3), nn.ReLU(inplace=True)]
    for stage, (depth, width) in enumerate(zip(depths, widths)):  # noqa: B905
        for block in range(depth):
            stride = 2 if stage > 0 and block == 0 else 1
            if name == "resnet50":
                convolutions = [(1, width // 4, 1), (3, width // 4, stride), (1, width, 1)]
            else:
                convolutions = [(3, width, stride), (3, width, 1)]
            layers.append(Block(inputs, convolutions, stride, option_a=name == "resnet20"))
            inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def step_seconds(name: str, size: int, batch: int, classes: int, warmup: int, steps: int, clock) -> list[float]:
    """Seconds of each timed training step on one constant batch, channels_last, SGD with Nesterov momentum."""
    torch.manual_seed(0)
    model = build(name, classes).to(memory_format=torch.channels_last).train()
    images = torch.rand(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(classes, (batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    seconds = []
    for _ in range(warmup + steps):
        start = clock()
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()
        seconds.append(clock() - start)
    return seconds[warmup:]

"""ResNet (He et al. 2015, arXiv:1512.03385): the CIFAR nets of section 4.2 and the ImageNet nets of table 1."""

from __future__ import annotations

import functools

from cnnrecipes.errors import ModelError
from cnnrecipes.layers import basic_block, bottleneck_block, conv_norm_act, max_pool
from cnnrecipes.layers.blocks import pad_shortcut, projection_shortcut

# depth -> blocks in each of the three stages of 16, 32 and 64 channels: depth = 6 n + 2
CIFAR_DEPTHS = {6 * n + 2: n for n in (1, 2, 3, 5, 7, 9, 18)}

# depth -> (block, blocks in each stage, channels of each stage)
IMAGENET_DEPTHS = {
    18: (basic_block, (2, 2, 2, 2), (64, 128, 256, 512)),
    34: (basic_block, (3, 4, 6, 3), (64, 128, 256, 512)),
    50: (bottleneck_block, (3, 4, 6, 3), (256, 512, 1024, 2048)),
    101: (bottleneck_block, (3, 4, 23, 3), (256, 512, 1024, 2048)),
    152: (bottleneck_block, (3, 8, 36, 3), (256, 512, 1024, 2048)),
}


def cifar_resnet(x, spec, *, blocks, **parts):
    """(N, H, W, C) -> (N, H / 4, W / 4, 64): a 3x3 convolution and three stages with parameter-free shortcuts."""
    if spec.stem == "imagenet":
        raise ModelError(f"{spec.name} has no ImageNet stem; leave model.stem out, or take resnet18 or deeper")
    x = conv_norm_act(x, 16, name="stem", **parts)
    return _stages(x, spec, basic_block, (blocks,) * 3, (16, 32, 64), pad_shortcut, parts)


def imagenet_resnet(x, spec, *, depth, **parts):
    """(N, H, W, C) -> (N, H / 32, W / 32, 512 or 2048); the CIFAR stem keeps the size: -> (N, H / 8, W / 8, ...)."""
    block, depths, widths = IMAGENET_DEPTHS[depth]
    if spec.stem == "cifar":
        x = conv_norm_act(x, 64, name="stem", **parts)
    else:
        x = conv_norm_act(x, 64, 7, stride=2, name="stem", **parts)
        x = max_pool(x, 3, stride=2, name="stem_pool")
    return _stages(x, spec, block, depths, widths, projection_shortcut, parts)


def _stages(x, spec, block, depths, widths, shortcut, parts):
    last_gamma = "zeros" if spec.zero_init_residual else "ones"
    for s, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        for b in range(1, depth + 1):
            stride = 2 if s > 1 and b == 1 else 1
            name = f"stage{s}_block{b}"
            x = block(x, width, stride=stride, shortcut=shortcut, last_gamma=last_gamma, name=name, **parts)
    return x


ARCHITECTURES = {
    **{f"resnet{depth}": functools.partial(cifar_resnet, blocks=n) for depth, n in CIFAR_DEPTHS.items()},
    **{f"resnet{depth}": functools.partial(imagenet_resnet, depth=depth) for depth in IMAGENET_DEPTHS},
}

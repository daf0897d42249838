"""ResNet (He et al. 2015, arXiv:1512.03385): the CIFAR nets of section 4.2 and the ImageNet nets of table 1."""

from __future__ import annotations

import functools

from cnnrecipes.models.architecture import CIFAR, IMAGENET, Architecture, Published
from cnnrecipes.models.registry import register
from cnnrecipes.models.residual_network import RESIDUAL, residual_network

# depth -> blocks in each of the three stages: depth = 6 n + 2; 8 and 14 are not in the paper
CIFAR_DEPTHS = {6 * n + 2: n for n in (1, 2, 3, 5, 7, 9, 18)}
CIFAR_WIDTHS = (16, 32, 64)

# depth -> bottleneck blocks?, blocks in each stage
IMAGENET_DEPTHS = {
    18: (False, (2, 2, 2, 2)),
    34: (False, (3, 4, 6, 3)),
    50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)),
    152: (True, (3, 8, 36, 3)),
}
BASIC_WIDTHS = (64, 128, 256, 512)
BOTTLENECK_WIDTHS = (256, 512, 1024, 2048)

TABLE_6 = {20: "0.27", 32: "0.46", 44: "0.66", 56: "0.85", 110: "1.7"}
TORCHVISION = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}
TIMM = {
    50: (
        Published("25.55", "timm, resnetv2_50", {"variant": "v2"}),
        Published("25.58", "timm, resnet50d", {"variant": "d"}),
    )
}


def cifar_options(blocks: int) -> dict:
    """Return the options of a CIFAR ResNet with `blocks` blocks in each stage."""
    return {"depths": (blocks,) * 3, "widths": CIFAR_WIDTHS, "stem": "cifar", "shortcut": "A", **RESIDUAL}


def imagenet_options(depth: int) -> dict:
    """Return the options of the ImageNet ResNet with `depth` layers."""
    bottleneck, depths = IMAGENET_DEPTHS[depth]
    widths = BOTTLENECK_WIDTHS if bottleneck else BASIC_WIDTHS
    return {"depths": depths, "widths": widths, "stem": "imagenet", "shortcut": "B", **RESIDUAL}


def _cifar(depth: int) -> Architecture:
    return Architecture(
        features=functools.partial(residual_network, stem_width=16),
        options=cifar_options(CIFAR_DEPTHS[depth]),
        source="He et al. 2015, section 4.2",
        setting=CIFAR,
        published=(Published(TABLE_6[depth], "He et al. 2015, table 6"),) if depth in TABLE_6 else (),
    )


def _imagenet(depth: int) -> Architecture:
    return Architecture(
        features=functools.partial(residual_network, bottleneck=IMAGENET_DEPTHS[depth][0]),
        options=imagenet_options(depth),
        source="He et al. 2015, table 1",
        setting=IMAGENET,
        published=(Published(TORCHVISION[depth], "torchvision"), *TIMM.get(depth, ())),
    )


ROWS = {depth: _cifar(depth) for depth in CIFAR_DEPTHS} | {depth: _imagenet(depth) for depth in IMAGENET_DEPTHS}

for _depth, _row in ROWS.items():
    register(f"resnet{_depth}", _row)

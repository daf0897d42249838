"""VGG (Simonyan & Zisserman 2014, arXiv:1409.1556, table 1).

Convolutions keep their bias before a norm, where it has no effect, because the published models with batch norm do.
"""

from __future__ import annotations

import functools

from cnnrecipes.layers import spatial_dropout, vgg_stage
from cnnrecipes.models.architecture import IMAGENET, Architecture, check_size, check_stages

WIDTHS = (64, 128, 256, 512, 512)

# depth -> convolutions in each stage; configurations A, B, D and E of table 1
DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def vgg(x, spec, *, conv, **parts):
    """(N, H, W, C) -> (N, H // 32, W // 32, 512); needs at least 32 x 32 pixels."""
    check_stages(spec)
    check_size(x, 2 ** len(spec.depths), spec, f"halves the image {len(spec.depths)} times")
    conv = functools.partial(conv, use_bias=True)
    for s, (width, convolutions) in enumerate(zip(spec.widths, spec.depths, strict=True), start=1):
        x = vgg_stage(x, width, convolutions, conv=conv, name=f"stage{s}", **parts)
        x = spatial_dropout(x, spec.spatial_dropout, name=f"stage{s}_spatial_dropout")
    return x


ARCHITECTURES = {
    f"vgg{depth}": Architecture(
        vgg,
        {"depths": depths, "widths": WIDTHS, "head": "classic", "pool": "max", "spatial_dropout": 0.0},
        "Simonyan & Zisserman 2014, table 1",
        IMAGENET,
    )
    for depth, depths in DEPTHS.items()
}

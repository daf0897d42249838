"""VGG (Simonyan & Zisserman 2014, arXiv:1409.1556, table 1), with a global-average head."""

from __future__ import annotations

import functools

from cnnrecipes.errors import ModelError
from cnnrecipes.layers import vgg_stage

WIDTHS = (64, 128, 256, 512, 512)

# depth -> convolutions in each stage; configuration D of table 1
DEPTHS = {16: (2, 2, 3, 3, 3)}


def vgg(x, spec, *, depth, **parts):
    """(N, H, W, C) -> (N, H // 32, W // 32, 512); needs at least 32 x 32 pixels."""
    if spec.stem is not None:
        raise ModelError(f"{spec.name} has no stem to choose; leave model.stem = {spec.stem!r} out")
    if min(x.shape[1:3]) < 32:
        raise ModelError(f"{spec.name} halves the image five times; {x.shape[1]}x{x.shape[2]} is less than 32x32")
    for s, (width, convolutions) in enumerate(zip(WIDTHS, DEPTHS[depth], strict=True), start=1):
        x = vgg_stage(x, width, convolutions, name=f"stage{s}", **parts)
    return x


ARCHITECTURES = {f"vgg{depth}": functools.partial(vgg, depth=depth) for depth in DEPTHS}

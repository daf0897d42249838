"""VGG (Simonyan & Zisserman 2014, arXiv:1409.1556, table 1).

Convolutions keep their bias before a norm, where it has no effect, as in torchvision's models with batch norm.
"""

from __future__ import annotations

from cnnrecipes.layers import LayerFactories, spatial_dropout, vgg_stage
from cnnrecipes.models.architecture import IMAGENET, Architecture, Published, check_size, check_stages
from cnnrecipes.models.registry import register
from cnnrecipes.recipe import schema

WIDTHS = (64, 128, 256, 512, 512)

# depth -> convolutions in each stage; configurations A, B, D and E of table 1
DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


# depth -> torchvision's parameters without and with batch norm
PARAMETERS = {
    11: (132_863_336, 132_868_840),
    13: (133_047_848, 133_053_736),
    16: (138_357_544, 138_365_992),
    19: (143_667_240, 143_678_248),
}


def vgg(x, spec: schema.Model, factories: LayerFactories):
    """Build VGG up to its head: (N, H, W, C) -> (N, H // 32, W // 32, 512); H and W are at least 32."""
    depths, widths = check_stages(spec)
    check_size(x, 2 ** len(depths), spec, f"halves the image {len(depths)} times")
    factories = factories.with_conv(use_bias=True)
    for s, (width, convolutions) in enumerate(zip(widths, depths, strict=True), start=1):
        x = vgg_stage(x, width, convolutions, factories=factories, name=f"stage{s}")
        x = spatial_dropout(x, spec.spatial_dropout, name=f"stage{s}_spatial_dropout")
    return x


for _depth, _convolutions in DEPTHS.items():
    _plain, _normalized = PARAMETERS[_depth]
    register(
        f"vgg{_depth}",
        Architecture(
            features=vgg,
            options={
                "depths": _convolutions,
                "widths": WIDTHS,
                "head": "classic",
                "pool": "max",
                "spatial_dropout": 0.0,
            },
            source="Simonyan & Zisserman 2014, table 1",
            setting=IMAGENET,
            published=(
                Published(_normalized, "torchvision"),
                Published(_plain, "torchvision", {"norm": "none"}),
            ),
        ),
    )

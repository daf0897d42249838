"""A small network for fast training on CIFAR: "ResNet-9" of David Page (2018, "How to train your ResNet", part 4).

A 3x3 convolution, then stages of a convolution and a 2x2 pooling, some followed by a residual pair of convolutions,
and global max pooling.
"""

from __future__ import annotations

import keras

from cnnrecipes.layers import LayerFactories, conv_norm_act, spatial_dropout
from cnnrecipes.models.architecture import CIFAR, Architecture, Published, check_size, check_stages
from cnnrecipes.models.registry import register
from cnnrecipes.recipe import schema


def fast_cnn(x, spec: schema.Model, factories: LayerFactories):
    """Build the network up to its head: (N, H, W, C) -> (N, H // 8, W // 8, 512).

    `depths` is the number of residual pairs of each stage.
    """
    depths, widths = check_stages(spec)
    check_size(x, 2 ** len(depths), spec, f"halves the image {len(depths)} times")
    x = conv_norm_act(x, widths[0] // 2, factories=factories, name="stem")
    for s, (width, pairs) in enumerate(zip(widths, depths, strict=True), start=1):
        x = conv_norm_act(x, width, factories=factories, name=f"stage{s}")
        x = factories.pool(x, 2, stride=2, name=f"stage{s}_pool")
        for p in range(1, pairs + 1):
            x = _residual_pair(x, spec.spatial_dropout, factories, name=f"stage{s}_block{p}")
    return x


def _residual_pair(x, dropout: float, factories: LayerFactories, *, name: str):
    y = conv_norm_act(x, x.shape[-1], factories=factories, name=f"{name}_1")
    y = spatial_dropout(y, dropout, name=f"{name}_spatial_dropout")
    y = conv_norm_act(y, x.shape[-1], factories=factories, name=f"{name}_2")
    return keras.layers.Add(name=f"{name}_add")([x, y])


register(
    "fast_cnn",
    Architecture(
        features=fast_cnn,
        options={"depths": (1, 0, 1), "widths": (128, 256, 512), "head": "max", "pool": "max", "spatial_dropout": 0.0},
        source="Page 2018, part 4",
        setting=CIFAR,
        # Page's last layer has no bias: 10 parameters fewer.
        published=(Published("6.57", "Page 2018"),),
    ),
)

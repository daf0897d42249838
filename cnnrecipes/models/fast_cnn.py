"""A small network for fast training on CIFAR: "ResNet-9" of David Page (2018, "How to train your ResNet", part 4).

A 3x3 convolution, then stages of a convolution and a 2x2 pooling, some followed by a residual pair of convolutions,
and global max pooling.
"""

from __future__ import annotations

import keras

from cnnrecipes.layers import conv_norm_act, spatial_dropout
from cnnrecipes.models.architecture import CIFAR, Architecture, check_size, check_stages


def fast_cnn(x, spec, *, pool, **parts):
    """(N, H, W, C) -> (N, H // 8, W // 8, 512); `depths` is the number of residual pairs of each stage."""
    check_stages(spec)
    check_size(x, 2 ** len(spec.depths), spec, f"halves the image {len(spec.depths)} times")
    x = conv_norm_act(x, spec.widths[0] // 2, name="stem", **parts)
    for s, (width, pairs) in enumerate(zip(spec.widths, spec.depths, strict=True), start=1):
        x = conv_norm_act(x, width, name=f"stage{s}", **parts)
        x = pool(x, 2, stride=2, name=f"stage{s}_pool")
        for p in range(1, pairs + 1):
            name = f"stage{s}_block{p}"
            y = conv_norm_act(x, width, name=f"{name}_1", **parts)
            y = spatial_dropout(y, spec.spatial_dropout, name=f"{name}_spatial_dropout")
            y = conv_norm_act(y, width, name=f"{name}_2", **parts)
            x = keras.layers.Add(name=f"{name}_add")([x, y])
    return x


ARCHITECTURES = {
    "fast_cnn": Architecture(
        fast_cnn,
        {"depths": (1, 0, 1), "widths": (128, 256, 512), "head": "max", "pool": "max", "spatial_dropout": 0.0},
        "Page 2018, part 4",
        CIFAR,
    )
}

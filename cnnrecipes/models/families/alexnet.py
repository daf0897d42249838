"""AlexNet (Krizhevsky et al. 2012) in its one-column form (Krizhevsky 2014, arXiv:1404.5997), as in torchvision.

The two columns of 2012 split the net over two GPUs of 3 GB. Local response normalization is left out; see `norm`.
"""

from __future__ import annotations

from typing import NamedTuple

from cnnrecipes.layers import LayerFactories, conv_norm_act, spatial_dropout
from cnnrecipes.models.architecture import IMAGENET, Architecture, Published, check_size
from cnnrecipes.models.registry import register
from cnnrecipes.recipe import schema


class Layer(NamedTuple):
    """One convolution; `pooled` is True if 3x3 max pooling of stride 2 follows."""

    width: int
    kernel: int
    pooled: bool


# The first kernel is that of the ImageNet stem.
LAYERS = (Layer(64, 11, True), Layer(192, 5, True), Layer(384, 3, False), Layer(256, 3, False), Layer(256, 3, True))


def alexnet(x, spec: schema.Model, factories: LayerFactories):
    """Build AlexNet up to its head: (N, 224, 224, C) -> (N, 6, 6, 256). The CIFAR stem is a 5x5 convolution."""
    factories = factories.with_conv(use_bias=True)
    x = _first(x, spec, factories)
    for i, (width, kernel, pooled) in enumerate(LAYERS, start=1):
        if i > 1:
            x = conv_norm_act(x, width, kernel, factories=factories, name=f"stage{i}")
        if pooled:
            x = factories.pool(x, 3, stride=2, padding=0, name=f"stage{i}_pool")
            x = spatial_dropout(x, spec.spatial_dropout, name=f"stage{i}_spatial_dropout")
    return x


def _first(x, spec: schema.Model, factories: LayerFactories):
    width, kernel, _ = LAYERS[0]
    if spec.stem == "cifar":
        check_size(x, 15, spec, "with the CIFAR stem halves the image three times")
        return conv_norm_act(x, width, 5, factories=factories, name="stage1")
    check_size(x, 63, spec, "divides the image by 4 and then halves it three times")
    return conv_norm_act(x, width, kernel, stride=4, factories=factories.with_conv(padding=2), name="stage1")


register(
    "alexnet",
    Architecture(
        features=alexnet,
        options={"norm": "none", "stem": "imagenet", "head": "classic", "pool": "max", "spatial_dropout": 0.0},
        source="Krizhevsky 2014",
        setting=IMAGENET,
        published=(Published(61_100_840, "torchvision"),),
    ),
)

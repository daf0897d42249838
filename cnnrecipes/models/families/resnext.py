"""ResNeXt (Xie et al. 2016, arXiv:1611.05431, table 1): bottlenecks with a grouped 3x3 convolution."""

from __future__ import annotations

import functools

from cnnrecipes.models.architecture import IMAGENET, Architecture, Published
from cnnrecipes.models.families import resnet
from cnnrecipes.models.registry import register
from cnnrecipes.models.residual_network import residual_network

# 32 groups of 4 channels for 256 output channels (32x4d): half as many channels inside
register(
    "resnext50",
    Architecture(
        features=functools.partial(residual_network, bottleneck=True, groups=32, inner=0.5),
        options=resnet.imagenet_options(50),
        source="Xie et al. 2016, table 1",
        setting=IMAGENET,
        published=(Published(25_028_904, "torchvision"),),
    ),
)

"""ResNeXt (Xie et al. 2016, arXiv:1611.05431, table 1): bottlenecks whose 3x3 convolution runs in 32 groups."""

from __future__ import annotations

import functools

from cnnrecipes.models import resnet
from cnnrecipes.models.architecture import IMAGENET, Architecture

# name -> depth, groups ("cardinality"), channels inside for each channel of the output: 32 groups of 4 for 256
SIZES = {"resnext50": (50, 32, 0.5)}

ARCHITECTURES = {
    name: Architecture(
        functools.partial(resnet.resnet, bottleneck=True, groups=groups, inner=inner),
        resnet.imagenet_options(*resnet.IMAGENET_DEPTHS[depth]),
        "Xie et al. 2016, table 1",
        IMAGENET,
    )
    for name, (depth, groups, inner) in SIZES.items()
}

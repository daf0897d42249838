"""AlexNet (Krizhevsky et al. 2012) in its one-column form (Krizhevsky 2014, arXiv:1404.5997), as torchvision has it.

Two columns were a matter of two small GPUs, and local response normalization went out of use: see `norm`.
"""

from __future__ import annotations

import functools

from cnnrecipes.layers import conv_norm_act, spatial_dropout
from cnnrecipes.models.architecture import IMAGENET, Architecture, check_size

# channels and kernel of each convolution (the first's with the ImageNet stem), and whether a 3x3 pooling follows
CONVOLUTIONS = ((64, 11, True), (192, 5, True), (384, 3, False), (256, 3, False), (256, 3, True))


def alexnet(x, spec, *, conv, pool, **parts):
    """(N, H, W, C) -> (N, 6, 6, 256) for 224 x 224; the CIFAR stem is a 5x5 convolution that does not stride."""
    conv = functools.partial(conv, use_bias=True)
    if spec.stem == "cifar":
        check_size(x, 15, spec, "with the CIFAR stem halves the image three times")
        stem = functools.partial(conv_norm_act, kernel=5, conv=conv)
    else:
        check_size(x, 63, spec, "divides the image by 4 and then halves it three times")
        stem = functools.partial(conv_norm_act, kernel=11, stride=4, conv=functools.partial(conv, padding=2))
    for i, (width, kernel, pooled) in enumerate(CONVOLUTIONS, start=1):
        layer = stem if i == 1 else functools.partial(conv_norm_act, kernel=kernel, conv=conv)
        x = layer(x, width, name=f"stage{i}", **parts)
        if pooled:
            x = pool(x, 3, stride=2, padding=0, name=f"stage{i}_pool")
            x = spatial_dropout(x, spec.spatial_dropout, name=f"stage{i}_spatial_dropout")
    return x


ARCHITECTURES = {
    "alexnet": Architecture(
        alexnet,
        {"norm": "none", "stem": "imagenet", "head": "classic", "pool": "max", "spatial_dropout": 0.0},
        "Krizhevsky 2014",
        IMAGENET,
    )
}

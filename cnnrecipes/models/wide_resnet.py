"""Wide ResNets (Zagoruyko & Komodakis 2016, arXiv:1605.07146, table 1): pre-activation, k times wider, with dropout.

Depth = 6 n + 4 with n blocks in each of three stages of 16 k, 32 k and 64 k channels; dropout of 0.3 between the two
convolutions of a block (fig. 1d), as in section 3 on CIFAR.
"""

from __future__ import annotations

import functools

from cnnrecipes.models.architecture import CIFAR, Architecture
from cnnrecipes.models.resnet import CIFAR_WIDTHS, RESIDUAL, resnet

# (depth, widening factor k)
SIZES = ((16, 4), (28, 10))


def _row(depth: int, k: int) -> Architecture:
    own = {
        **RESIDUAL,
        "depths": ((depth - 4) // 6,) * 3,
        "widths": tuple(k * width for width in CIFAR_WIDTHS),
        "stem": "cifar",
        "shortcut": "B",
        "variant": "v2",
        "block_dropout": 0.3,
    }
    features = functools.partial(resnet, stem_width=16)
    return Architecture(features, own, "Zagoruyko & Komodakis 2016, table 1", CIFAR)


ARCHITECTURES = {f"wrn{depth}_{k}": _row(depth, k) for depth, k in SIZES}

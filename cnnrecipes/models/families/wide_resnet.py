"""Wide ResNet (Zagoruyko & Komodakis 2016, arXiv:1605.07146, table 1): pre-activation, k times wider, with dropout.

Depth = 6 n + 4 with n blocks in each of three stages of 16 k, 32 k and 64 k channels; dropout of 0.3 between the two
convolutions of a block (fig. 1d), as in section 3 on CIFAR.
"""

from __future__ import annotations

import functools

from cnnrecipes.models.architecture import CIFAR, Architecture, Published
from cnnrecipes.models.families.resnet import CIFAR_WIDTHS
from cnnrecipes.models.registry import register
from cnnrecipes.models.residual_network import RESIDUAL, residual_network

# (depth, widening factor k) -> millions of parameters, table 4
SIZES = {(16, 4): "2.7", (28, 10): "36.5"}


def _row(depth: int, k: int) -> Architecture:
    options = {
        **RESIDUAL,
        "depths": ((depth - 4) // 6,) * 3,
        "widths": tuple(k * width for width in CIFAR_WIDTHS),
        "stem": "cifar",
        "shortcut": "B",
        "variant": "v2",
        "block_dropout": 0.3,
    }
    return Architecture(
        features=functools.partial(residual_network, stem_width=16),
        options=options,
        source="Zagoruyko & Komodakis 2016, table 1",
        setting=CIFAR,
        published=(Published(SIZES[depth, k], "Zagoruyko & Komodakis 2016, table 4"),),
    )


for _depth, _k in SIZES:
    register(f"wrn{_depth}_{_k}", _row(_depth, _k))

"""Plain networks: ResNets without shortcuts (He et al. 2015, sections 3.3, 4.1 and 4.2)."""

from __future__ import annotations

import dataclasses

from cnnrecipes.models.architecture import CIFAR, Architecture
from cnnrecipes.models.families import resnet
from cnnrecipes.models.registry import register

DEPTHS = (20, 32, 44, 56, 110, 18, 34)


def _row(depth: int) -> Architecture:
    residual = resnet.ROWS[depth]
    # Shortcuts of option A have no parameters, so that the counts of the CIFAR nets are those of the ResNets.
    published = residual.published if residual.setting == CIFAR else ()
    return dataclasses.replace(residual, options={**residual.options, "shortcut": "none"}, published=published)


for _depth in DEPTHS:
    register(f"plain{_depth}", _row(_depth))

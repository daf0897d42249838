"""Plain networks: ResNets without shortcuts (He et al. 2015, sections 3.3, 4.1 and 4.2)."""

from __future__ import annotations

from cnnrecipes.models import resnet
from cnnrecipes.models.architecture import Architecture

DEPTHS = (20, 32, 44, 56, 110, 18, 34)


def _without_shortcuts(depth: int) -> Architecture:
    residual = resnet.ARCHITECTURES[f"resnet{depth}"]
    return residual._replace(own={**residual.own, "shortcut": "none"})


ARCHITECTURES = {f"plain{depth}": _without_shortcuts(depth) for depth in DEPTHS}

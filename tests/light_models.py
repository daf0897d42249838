"""Helpers: models that take little time to build and to compute."""

from __future__ import annotations

from cnnrecipes.models import own_architectures


def narrow(name: str) -> dict:
    """Options that make a wide net a quarter as wide; all blocks, shortcuts and other defaults stay.

    ResNeXt becomes half as wide: in groups of one channel the next norm would cancel the gamma before them.
    """
    widths, part = own_architectures()[name].options.get("widths", (0,)), 2 if name.startswith("resnext") else 4
    return {"widths": tuple(width // part for width in widths)} if widths[-1] > 256 else {}

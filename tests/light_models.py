"""Helpers: models that take little time to build and to compute."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import keras
import pytest

from cnnrecipes.models import own_architectures


def narrow(name: str) -> dict:
    """Options that make a wide net a quarter as wide; all blocks, shortcuts and other defaults stay.

    ResNeXt becomes half as wide: in groups of one channel the next norm would cancel the gamma before them.
    """
    widths, part = own_architectures()[name].options.get("widths", (0,)), 2 if name.startswith("resnext") else 4
    return {"widths": tuple(width // part for width in widths)} if widths[-1] > 256 else {}


def builder(name: str) -> tuple:
    """The function of an architecture, and its arguments."""
    function = own_architectures()[name].features
    return getattr(function, "func", function), getattr(function, "keywords", {})


def ends_of_depth(names: Iterable[str]) -> list[str]:
    """Names without those between the least and the greatest depth of nets that are alike except for their depth."""
    alike: dict[str, list[str]] = {}
    for name in names:
        options = {**own_architectures()[name].options, "depths": None}
        alike.setdefault(repr((builder(name), sorted(options.items()))), []).append(name)
    ends = ((min(same, key=_depth), max(same, key=_depth)) for same in alike.values())
    return [name for pair in ends for name in dict.fromkeys(pair)]


@contextlib.contextmanager
def undrawn() -> Iterator[None]:
    """Let initial weights be zeros in the `with` block, for models whose weights are set afterwards."""
    initializers = keras.initializers
    with pytest.MonkeyPatch.context() as patch:
        for kind in (initializers.VarianceScaling, initializers.RandomNormal, initializers.TruncatedNormal):
            patch.setattr(kind, "__call__", lambda self, shape, dtype=None, **more: keras.ops.zeros(shape, dtype))
        yield


def _depth(name: str) -> int:
    return sum(own_architectures()[name].options.get("depths", ()))

"""Helpers: models that take little time to build and to compute."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
from keras.src.backend.common import global_state

from cnnrecipes.models import own_architectures

_WAITING = "uninitialized_variables"


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Let models built in the `with` block have variables with a shape and no value, for tests of the graph alone."""
    before = list(global_state.get_global_attribute(_WAITING) or [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(_WAITING, before)


def narrow(name: str) -> dict:
    """Options that make a wide net a quarter as wide; all blocks, shortcuts and other defaults stay.

    ResNeXt becomes half as wide: in groups of one channel the next norm would cancel the gamma before them.
    """
    widths, part = own_architectures()[name].options.get("widths", (0,)), 2 if name.startswith("resnext") else 4
    return {"widths": tuple(width // part for width in widths)} if widths[-1] > 256 else {}

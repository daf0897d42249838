"""Models whose variables have shapes but no values, for what only needs their layers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
from keras.src.backend.common import global_state

_WAITING = "uninitialized_variables"  # Keras' global list of variables without values


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Let variables have a shape alone in the `with` block, so that a large model takes no memory."""
    before = list(global_state.get_global_attribute(_WAITING) or [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(_WAITING, before)

"""Seeding of all random number generators for the time of a training."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import keras
import numpy as np
from keras.src.backend.common import global_state  # Keras has no public access to its global generator

_KERAS_ATTRIBUTES = ("global_random_seed", "global_seed_generator")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the RNGs of Python, NumPy, Keras and TensorFlow; on exit all but TensorFlow's seed are restored."""
    states = random.getstate(), np.random.get_state()
    of_keras = {name: global_state.get_global_attribute(name) for name in _KERAS_ATTRIBUTES}
    keras.utils.set_random_seed(seed)
    # Before Keras 3.11 `set_random_seed` keeps an existing generator.
    global_state.set_global_attribute("global_seed_generator", None)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        for name, value in of_keras.items():
            global_state.set_global_attribute(name, value)

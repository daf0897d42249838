"""Seeding of all random number generators for the time of a training, and restoration of them after an experiment."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Iterator

import keras
import numpy as np
from keras.src.backend.common import global_state  # Keras has no public access to its global generator
from tensorflow.python.eager import context  # nor TensorFlow to its global seed

_KERAS_ATTRIBUTES = ("global_random_seed", "global_seed_generator")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the RNGs of Python, NumPy, Keras and TensorFlow; on exit all but TensorFlow's seed are restored."""
    with _restored_but_tensorflow():
        keras.utils.set_random_seed(seed)
        # Before Keras 3.11 `set_random_seed` keeps an existing generator.
        global_state.set_global_attribute("global_seed_generator", None)
        yield


@contextlib.contextmanager
def undisturbed_random_numbers() -> Iterator[None]:
    """Restore the RNGs of Python, NumPy, TensorFlow and Keras on exit.

    The values of the seed generators of Keras' layers belong to the layers' models, and are not restored. Operations
    that get a seed of their own, as in `tf.random.normal((2,), seed=1)`, begin again with their first number outside of
    a `tf.function`, as after each `tf.random.set_seed`: TensorFlow gives no access to their counters.
    """
    generator = global_state.get_global_attribute("global_seed_generator")
    value = None if generator is None else generator.state.numpy()
    eager = context.context()
    seed, of_tensorflow = context.global_seed(), copy.copy(getattr(eager, "_rng", None))
    try:
        with _restored_but_tensorflow():
            yield
    finally:
        if generator is not None:
            generator.state.assign(value)
        eager._seed = seed  # noqa: SLF001
        if of_tensorflow is not None:
            eager._rng = of_tensorflow  # noqa: SLF001


@contextlib.contextmanager
def _restored_but_tensorflow() -> Iterator[None]:
    """Restore the RNGs of Python, NumPy and Keras on exit."""
    states = random.getstate(), np.random.get_state()
    of_keras = {name: global_state.get_global_attribute(name) for name in _KERAS_ATTRIBUTES}
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        for name, kept in of_keras.items():
            global_state.set_global_attribute(name, kept)

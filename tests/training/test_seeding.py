"""`seeded`: reproducible random numbers; the user's generators are restored."""

from __future__ import annotations

import random

import keras
import numpy as np

from cnnrecipes.training.seeding import seeded


def test_seeded_leaves_global_generators_unchanged():
    random.seed(5), np.random.seed(5)
    expected = random.random(), np.random.random()
    random.seed(5), np.random.seed(5)
    with seeded(1):
        first = keras.random.normal((2,)), random.random()
    assert (random.random(), np.random.random()) == expected
    with seeded(1):
        np.testing.assert_array_equal(keras.random.normal((2,)), first[0])


def test_seeded_restores_the_keras_generator():
    """The user's own draws continue where they were, and do not influence the seeded ones."""
    keras.utils.set_random_seed(3)
    expected = [keras.random.normal((2,)) for _ in range(3)]
    keras.utils.set_random_seed(3)
    # Before 3.11 Keras keeps its generator when it is seeded.
    seeded_before = np.array_equal(keras.random.normal((2,)), expected[0])
    with seeded(1):
        first = keras.random.normal((2,))
    second = keras.random.normal((2,))
    with seeded(1):
        np.testing.assert_array_equal(keras.random.normal((2,)), first)
    if seeded_before:
        np.testing.assert_array_equal(second, expected[1])
    assert not np.array_equal(second, first)

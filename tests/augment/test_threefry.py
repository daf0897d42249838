"""Random numbers as a pure function of (seed, epoch, index, stream)."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from cnnrecipes.augment.threefry import threefry2x32, uniforms

N = 20_000


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_matches_the_known_answers_of_random123(counter, key, words):
    key, counter = (tuple(tf.constant(word, tf.uint32) for word in pair) for pair in (key, counter))
    assert tuple(int(word) for word in threefry2x32(key, counter)) == words


def draw(seed=0, epoch=0, stream=0, index=None):
    index = tf.range(N) if index is None else tf.constant(index)
    return uniforms(tf.constant(seed), tf.constant(epoch), index, stream=stream, count=3).numpy()


def test_draws_are_uniform():
    values = draw()
    assert values.min() >= 0
    assert values.max() < 1
    assert all(stats.kstest(column, "uniform").pvalue > 0.001 for column in values.T)


@pytest.mark.parametrize("other", [{"seed": 1}, {"epoch": 1}, {"stream": 1}])
def test_draws_of_other_seeds_epochs_and_streams_are_uncorrelated(other):
    correlation = np.corrcoef(draw().T, draw(**other).T)
    assert np.abs(correlation - np.eye(6)).max() < 5 / np.sqrt(N)


def test_draws_of_neighboring_examples_are_uncorrelated():
    values = draw()[:, 0]
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 5 / np.sqrt(N)


def test_draw_does_not_depend_on_the_batch():
    alone = draw(index=[77])
    np.testing.assert_array_equal(alone[0], draw()[77])
    np.testing.assert_array_equal(alone[0], draw(index=[5, 77, 3])[1])

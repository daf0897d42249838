"""The order of training examples, and how often each was shown before: pure functions of (seed, epoch, place).

A place counts the examples of an epoch, before `augment.repeats` multiplies them: 0 .. `places` - 1. Nothing is
stored that grows while training, so that a resumed training needs no state.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

# The public index_shuffle has 4 rounds, with which the orders of two epochs correlate (data/test_input_pipeline.py).
_SHUFFLE_ROUNDS = 16

# (places (n,), epoch scalar), both int64, to int64 (n,)
OfPlaces = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class Permutations:
    """A fresh permutation each epoch, of which the first `places` examples are shown.

    Args:
        size: examples.
        places: shown in an epoch; the others are left out, other ones in each epoch.
        epochs: up to which `earlier` is asked; its tables take `size` * `epochs` bits.
    """

    def __init__(self, size: int, places: int, epochs: int, seed: int):
        self.size, self.places, self.epochs, self.seed = size, places, epochs, seed

    def examples(self, place: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        """The examples (n,) at these places of an epoch."""
        return shuffled(place, self.size, self.seed, epoch)

    def earlier(self) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
        """A function of (examples (n,), their places (n,), epoch): their showings in earlier epochs, modulo 2.

        Without leftovers that is the epoch. Otherwise which examples an epoch left out has to be looked up.
        """
        if self.places == self.size:
            return lambda example, place, epoch: tf.zeros_like(example) + epoch % 2
        table = tf.constant(self._parities())

        def look_up(example, place, epoch):
            byte = tf.cast(tf.gather(tf.gather(table, epoch), example // 8), tf.int64)
            return tf.bitwise.right_shift(byte, 7 - example % 8) % 2

        return look_up

    def _parities(self) -> np.ndarray:
        """(epochs, size / 8) uint8: of each example, as np.packbits, whether it was shown an odd number of times."""
        odd = np.zeros(self.size, bool)
        packed = np.empty((self.epochs, -(-self.size // 8)), np.uint8)
        # The smaller of the two sets is enumerated.
        few = self.places <= self.size // 2
        some = tf.range(0 if few else self.places, self.places if few else self.size, dtype=tf.int64)
        for epoch in range(self.epochs):
            packed[epoch] = np.packbits(odd)
            odd ^= not few
            odd[self.examples(some, tf.constant(epoch, tf.int64)).numpy()] ^= True
        return packed


class Balanced:
    """Every class equally often, and the examples of each class in turn, through all epochs.

    Each run of as many places as there are classes has every class once. The visits to a class walk through its
    examples in rounds, each a permutation; the walk goes on in the next epoch, so that at any time two examples of a
    class differ by at most one showing.

    Args:
        labels: (N,) integers.
        places: in an epoch.
    """

    def __init__(self, labels: np.ndarray, places: int, seed: int):
        members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self.classes, self.places, self.seed = len(members), places, seed
        self._counts = tf.constant([len(some) for some in members], tf.int64)
        self._starts = tf.math.cumsum(self._counts, exclusive=True)
        self._members = tf.constant(np.concatenate(members), tf.int64)

    def examples(self, place: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        """The examples (n,) at these places of an epoch."""
        which, visit = self._visits(place, epoch)
        count = tf.gather(self._counts, which)
        walk = self._shuffled(visit % count, count, (visit // count) * self.classes + which, 1)
        return tf.gather(self._members, tf.gather(self._starts, which) + walk)

    def earlier(self) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
        """A function of (examples (n,), their places (n,), epoch): their showings before these places."""

        def rounds(example, place, epoch):
            which, visit = self._visits(place, epoch)
            return visit // tf.gather(self._counts, which)

        return rounds

    def _visits(self, place, epoch):
        """Of each place its class, and how many visits that class had before."""
        place = epoch * self.places + place
        visit, turn = place // self.classes, place % self.classes
        return self._shuffled(turn, tf.zeros_like(turn) + self.classes, visit, 0), visit

    def _shuffled(self, place, sizes, number, stream):
        """Places (n,) in permutations of 0..sizes-1 (n,), another one for each number (n,) and stream."""
        zero = tf.zeros_like(number)
        key = tf.stack([zero + self.seed, number, zero + stream], 1)
        return tf.raw_ops.RandomIndexShuffle(index=place, seed=key, max_index=sizes - 1, rounds=_SHUFFLE_ROUNDS)


def shuffled(place: tf.Tensor, size: int, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Which examples stand at these places of an epoch's order, a permutation of 0..size-1 that is never stored."""
    key = tf.stack([tf.constant(seed, tf.int64), epoch, tf.zeros_like(epoch)])
    last = tf.constant(size - 1, tf.int64)
    return tf.raw_ops.RandomIndexShuffle(index=place, seed=key, max_index=last, rounds=_SHUFFLE_ROUNDS)


def showings(example: tf.Tensor, earlier: tf.Tensor, places: tf.Tensor, repeat: tf.Tensor, repeats: int) -> tf.Tensor:
    """How often the example of each row of a batch was shown before, in earlier batches and earlier rows of this one.

    A batch has its examples once, then all of them again, `repeats` times. One that stands in it several times even
    without that (balanced sampling of a small class) has as many rows in each repeat.

    Args:
        example, earlier: (d,) int64, the examples of a batch without its repeats, and their showings before, had each
            batch no repeats.
        places, repeat: (n,), for each wanted row its place among those d, and its repeat, from 0.

    Returns:
        (n,) int64; modulo 2 where `earlier` is modulo 2 and no example stands in the batch twice.
    """
    same = tf.cast(example[:, None] == example[None, :], tf.int64)
    within = tf.reduce_sum(tf.linalg.band_part(same, -1, 0), 1) - 1  # of the d those before it
    before = repeats * (earlier - within)
    return tf.gather(before + within, places) + repeat * tf.gather(tf.reduce_sum(same, 1), places)

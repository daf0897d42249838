"""Shuffle order of training examples, and how often each was shown: pure functions of (seed, epoch, place).

A place is a position in an epoch, before `augment.repeats` multiplies the examples: 0 .. `places` - 1. The order has no
mutable state, so resuming needs none.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

# The public index_shuffle has 4 rounds, and the orders of two epochs then correlate (tests/data/test_batching.py).
_SHUFFLE_ROUNDS = 16


class Permutations:
    """A new permutation for each epoch, of which the first `places` examples are used.

    Args:
        size: number of examples.
        places: number of examples used in an epoch; each epoch drops different ones.
        epochs: number of epochs that `earlier` covers; its table takes `size` * `epochs` bits.
        seed: of the permutations.
    """

    def __init__(self, size: int, places: int, epochs: int, seed: int):
        self.size, self.places, self.epochs, self.seed = size, places, epochs, seed

    def examples(self, place: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        """Return the indices (n,) of the examples at the given places of an epoch."""
        return shuffled(place, self.size, self.seed, epoch)

    def earlier(self) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
        """Return a function that tells how often examples were shown in the epochs before `epoch`, modulo 2.

        It maps (examples (n,), positions in the epoch (n,), epoch) to (n,) and does not use the positions. If no epoch
        drops examples, the number of showings equals the epoch; otherwise it is looked up in a table.
        """
        if self.places == self.size:
            return lambda example, place, epoch: tf.zeros_like(example) + epoch % 2
        table = tf.constant(self._parities())

        def look_up(example, place, epoch):
            byte = tf.cast(tf.gather(tf.gather(table, epoch), example // 8), tf.int64)
            return tf.bitwise.right_shift(byte, 7 - example % 8) % 2

        return look_up

    def _parities(self) -> np.ndarray:
        """Return the parity of each example's showings before each epoch, (epochs, size / 8) uint8, packed."""
        odd = np.zeros(self.size, bool)
        packed = np.empty((self.epochs, -(-self.size // 8)), np.uint8)
        # Enumerate the smaller set: the examples used or those dropped.
        few = self.places <= self.size // 2
        some = tf.range(0 if few else self.places, self.places if few else self.size, dtype=tf.int64)
        for epoch in range(self.epochs):
            packed[epoch] = np.packbits(odd)
            odd ^= not few
            odd[self.examples(some, tf.constant(epoch, tf.int64)).numpy()] ^= True
        return packed


class Balanced:
    """Class-balanced sampling: every class equally often, and the examples of a class in turn, through all epochs.

    Each block of as many places as there are classes has every class once. A class goes through its examples in rounds,
    each a permutation, which continue in the next epoch: at any time the showings of two examples of a class differ by
    at most one.

    Args:
        labels: (N,) integers.
        places: number of places in an epoch.
        seed: of the permutations.
    """

    def __init__(self, labels: np.ndarray, places: int, seed: int):
        members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self.classes, self.places, self.seed = len(members), places, seed
        self._counts = tf.constant([len(some) for some in members], tf.int64)
        self._starts = tf.math.cumsum(self._counts, exclusive=True)
        self._members = tf.constant(np.concatenate(members), tf.int64)

    def examples(self, place: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        """Return the indices (n,) of the examples at the given places of an epoch."""
        which, visit = self._visits(place, epoch)
        count = tf.gather(self._counts, which)
        walk = self._shuffled(visit % count, count, (visit // count) * self.classes + which, 1)
        return tf.gather(self._members, tf.gather(self._starts, which) + walk)

    def earlier(self) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
        """Return a function that tells how often each example was shown before its position in an epoch.

        It maps (examples (n,), positions in the epoch (n,), epoch) to the number of showings (n,).
        """

        def rounds(example, place, epoch):
            which, visit = self._visits(place, epoch)
            return visit // tf.gather(self._counts, which)

        return rounds

    def _visits(self, place, epoch):
        """Return the class drawn at each place, and the number of earlier draws of that class."""
        place = epoch * self.places + place
        visit, turn = place // self.classes, place % self.classes
        return self._shuffled(turn, tf.zeros_like(turn) + self.classes, visit, 0), visit

    def _shuffled(self, place, sizes, number, stream):
        """Return places (n,) in permutations of 0..sizes-1 (n,); (number, stream) selects the permutation."""
        zero = tf.zeros_like(number)
        key = tf.stack([zero + self.seed, number, zero + stream], 1)
        return tf.raw_ops.RandomIndexShuffle(index=place, seed=key, max_index=sizes - 1, rounds=_SHUFFLE_ROUNDS)


def shuffled(place: tf.Tensor, size: int, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Return the examples at the given places of an epoch's permutation of 0..size-1, which is never stored."""
    key = tf.stack([tf.constant(seed, tf.int64), epoch, tf.zeros_like(epoch)])
    last = tf.constant(size - 1, tf.int64)
    return tf.raw_ops.RandomIndexShuffle(index=place, seed=key, max_index=last, rounds=_SHUFFLE_ROUNDS)


def showings(example: tf.Tensor, earlier: tf.Tensor, places: tf.Tensor, repeat: tf.Tensor, repeats: int) -> tf.Tensor:
    """Return the number of earlier showings of each row's example, in earlier batches and rows of its batch.

    A batch is its distinct places, tiled `repeats` times. Balanced sampling of a small class may put an example at
    several of these places.

    Args:
        example, earlier: (d,) int64, the examples of a batch without repeats, and their earlier showings without
            repeats.
        places, repeat: (n,), place of each requested row among those d, and its repeat, from 0.
        repeats: `augment.repeats`.

    Returns:
        (n,) int64; modulo 2 if `earlier` is modulo 2 and no example is in the batch twice.
    """
    same = tf.cast(example[:, None] == example[None, :], tf.int64)
    within = tf.reduce_sum(tf.linalg.band_part(same, -1, 0), 1) - 1  # earlier occurrences among the d
    before = repeats * (earlier - within)
    return tf.gather(before + within, places) + repeat * tf.gather(tf.reduce_sum(same, 1), places)

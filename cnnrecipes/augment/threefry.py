"""Counter-based random number generator Threefry-2x32: one draw per (seed, epoch, example, counter).

TensorFlow's stateless generators take one seed for a whole tensor, so an example's draws would depend on its position
in the batch. `index_shuffle` takes a seed per element, but its output fails a test of uniformity. Threefry-2x32 (Salmon
et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.2; also JAX's default) is implemented here in
whole-batch operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cnnrecipes._support.lazy import lazy_module

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def threefry2x32(key: tuple, counter: tuple) -> tuple[tf.Tensor, tf.Tensor]:
    """Return two random 32-bit words for each counter: 20 rounds of Threefry-2x32.

    Args:
        key, counter: pairs of uint32 tensors; all four broadcast against each other.

    Returns:
        two uint32 tensors of the broadcast shape.
    """
    schedule = (key[0], key[1], key[0] ^ key[1] ^ tf.constant(_PARITY, tf.uint32))
    x0, x1 = counter[0] + schedule[0], counter[1] + schedule[1]
    for i in range(5):
        for distance in _ROTATIONS[i % 2]:
            x0 += x1
            x1 = _rotate_left(x1, distance) ^ x0
        x0 += schedule[(i + 1) % 3]
        x1 += schedule[(i + 2) % 3] + tf.constant(i + 1, tf.uint32)
    return x0, x1


def uniforms(seed, epoch, index, *, stream: int, count: int) -> tf.Tensor:
    """Return independent uniform draws from [0, 1) that do not depend on the batch composition.

    Args:
        seed, epoch: integer scalars.
        index: (N,) integers, the examples; below 2**32.
        stream: number of the stream, one per use of randomness, so that two uses for one example are independent.
        count: draws per example, at most 256.

    Returns:
        (N, count), float32, multiples of 2**-24.
    """
    return streams(seed, epoch, index, {stream: count})[stream]


def streams(seed, epoch, index, counts: Mapping[int, int]) -> dict[int, tf.Tensor]:
    """Return the `uniforms` of several streams, computed in one call: stream -> (N, count).

    counts: stream -> draws per example.
    """
    counters = [stream * 256 + i for stream, count in counts.items() for i in range(count)]
    word, _ = threefry2x32(
        (tf.cast(seed, tf.uint32), tf.cast(epoch, tf.uint32)),
        (tf.cast(index, tf.uint32)[:, None], tf.constant(counters, tf.uint32)[None, :]),
    )
    draws = tf.cast(tf.bitwise.right_shift(word, tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24
    return dict(zip(counts, tf.split(draws, list(counts.values()), axis=1), strict=True))


def _rotate_left(x: tf.Tensor, distance: int) -> tf.Tensor:
    left = tf.bitwise.left_shift(x, tf.constant(distance, tf.uint32))
    return left | tf.bitwise.right_shift(x, tf.constant(32 - distance, tf.uint32))

"""Elementary operations on batches of pixels: gather, select, fill, reflect and round."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cnnrecipes._support.lazy import lazy_module

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")


def take(items: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Gather `items[places]` along the first axis; about twice as fast as `tf.gather` on a CPU.

    For items of a few bytes (pixels or values) the cost is dominated by the index, not by the copy.
    """
    return tf.gather_nd(items, places[..., None])


def where(condition: tf.Tensor, yes: tf.Tensor, no: tf.Tensor) -> tf.Tensor:
    """Select whole images by a condition (N,), copying each as a block where `tf.where` would test every value."""
    return tf.compat.v1.where(condition, yes, no)


def within(positions: tf.Tensor, start, stop) -> tf.Tensor:
    """Return a bool tensor, true where start <= position < stop."""
    return (positions >= start) & (positions < stop)


def reflect(positions: tf.Tensor, length: int) -> tf.Tensor:
    """Reflect positions at the first and last pixel, which are not repeated, as often as needed."""
    period = max(2 * (length - 1), 1)
    positions %= period
    return tf.minimum(positions, period - positions) if length > 1 else positions


def flat(images: tf.Tensor) -> tf.Tensor:
    """Flatten (N, H, W, C) to (N, H * W * C): one number per image broadcasts three times faster over one axis."""
    return tf.reshape(images, (tf.shape(images)[0], math.prod(images.shape[1:])))


def fill_color(fill: str | int, mean) -> tf.Tensor:
    """Return the fill color as uint8: the mean color (C,), or a scalar gray value."""
    return tf.cast(tf.round(mean), tf.uint8) if fill == "mean" else tf.constant(fill, tf.uint8)


def to_uint8(values: tf.Tensor) -> tf.Tensor:
    """Round values and clip them to 0..255, as uint8."""
    return tf.cast(tf.clip_by_value(tf.round(values), 0.0, 255.0), tf.uint8)

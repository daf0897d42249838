"""Histogram operations, bit-exact with Pillow's ImageOps: autocontrast and equalization."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.augment.gather_and_select import flat, where
from cnnrecipes.augment.operation import Operation, Probability, operation
from cnnrecipes.augment.xla_compilation import compiled_in_chunks

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")


@operation("autocontrast")
class Autocontrast(Operation):
    """Maximize the contrast of each channel of an image with `probability`."""

    probability: Probability = 0.2

    def apply(self, images, draws, mean):
        return where(draws[:, 0] < self.probability, autocontrasted(images), images)


@operation("equalize")
class Equalize(Operation):
    """Equalize the histogram of each channel of an image with `probability`."""

    probability: Probability = 0.2

    def apply(self, images, draws, mean):
        return where(draws[:, 0] < self.probability, equalized(images), images)


def autocontrasted(images: tf.Tensor) -> tf.Tensor:
    """Apply ImageOps.autocontrast: map each channel's minimum to 0 and maximum to 255, unless they are equal."""
    low, high = tf.unstack(tf.cast(_extremes(images), tf.float64)[..., None], axis=1)
    values = tf.range(256, dtype=tf.float64)
    scale = 255 / tf.maximum(high - low, 1)
    stretched = tf.where(high > low, tf.floor(values * scale - low * scale), values)
    return _look_up(images, tf.clip_by_value(stretched, 0, 255))


def equalized(images: tf.Tensor) -> tf.Tensor:
    """Apply ImageOps.equalize: equalize the histogram of each channel."""
    counts = _histograms(images)
    values = tf.range(256)
    last = tf.reduce_max(tf.where(counts > 0, values, -1), axis=-1, keepdims=True)
    step = (tf.reduce_sum(counts, -1, keepdims=True) - tf.gather(counts, last, batch_dims=2)) // 255
    below = tf.cumsum(counts, axis=-1, exclusive=True) + step // 2
    spread = tf.where(step > 0, below // tf.maximum(step, 1), values)
    return _look_up(images, tf.clip_by_value(spread, 0, 255))


def _histograms(images: tf.Tensor) -> tf.Tensor:
    """Return the histogram of each channel: (N, H, W, C) uint8 -> counts (N, C, 256) int32."""
    n, channels = tf.shape(images)[0], images.shape[-1]
    bins = n * channels * 256
    counts = tf.math.bincount(tf.reshape(_places(images), (-1,)), minlength=bins, maxlength=bins)
    return tf.reshape(counts, (n, channels, 256))


def _places(images: tf.Tensor) -> tf.Tensor:
    """Return the indices of values (N, H * W * C) in tables (N, C, 256); broadcasting one pattern is faster."""
    n, channels = tf.shape(images)[0], images.shape[-1]
    pattern = tf.tile(tf.range(channels) * 256, [math.prod(images.shape[1:3])])
    return tf.cast(flat(images), tf.int32) + pattern + tf.range(n)[:, None] * (channels * 256)


@compiled_in_chunks
def _extremes(images: tf.Tensor) -> tf.Tensor:
    """Return the minimum and the maximum of each channel: (N, H, W, C) -> (N, 2, C)."""
    low = high = tf.reshape(images, (tf.shape(images)[0], images.shape[1], -1))
    # Halves are compared row by row, which is vectorized; a reduction compares value by value.
    while low.shape[1] % 2 == 0:
        low, high = tf.minimum(*tf.split(low, 2, 1)), tf.maximum(*tf.split(high, 2, 1))
    by_channel = (tf.shape(images)[0], -1, images.shape[-1])
    return tf.stack([tf.reduce_min(tf.reshape(low, by_channel), 1), tf.reduce_max(tf.reshape(high, by_channel), 1)], 1)


def _look_up(images: tf.Tensor, tables: tf.Tensor) -> tf.Tensor:
    """Map each value through its channel's lookup table; tables: (N, C, 256), integers 0..255."""
    return _mapped(images, tf.cast(tables, tf.uint8))


@compiled_in_chunks
def _mapped(images: tf.Tensor, tables: tf.Tensor) -> tf.Tensor:
    n, channels = images.shape[0], images.shape[-1]
    starts = 256 * (tf.range(n)[:, None, None, None] * channels + tf.range(channels))
    return tf.gather(tf.reshape(tables, (-1,)), tf.cast(images, tf.int32) + starts)

"""Augmentation of whole batches: what each operation of `cnnrecipes.operations` does, its randomness passed in.

Every function takes images (N, H, W, C) uint8 and draws (N, k) from [0, 1), and returns images of the same shape;
each image has its own draws. `mean` is the training split's mean colour, (C,) on the scale 0..255.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from cnnrecipes import operations
from cnnrecipes.data.threefry import uniforms


def augment(images: tf.Tensor, ops: Sequence[operations.Operation], *, seed, epoch, index, mean) -> tf.Tensor:
    """Apply the operations in order; the result is a function of (image, seed, epoch, index) alone.

    Args:
        images: (N, H, W, C), uint8, 0..255.
        seed, epoch: integer scalars.
        index: (N,) the examples' numbers.
        mean: (C,) colour of what an image does not give, 0..255.

    Returns:
        (N, H, W, C), uint8.
    """
    for stream, op in enumerate(ops):
        apply, count = _APPLY[type(op)]
        images = apply(images, uniforms(seed, epoch, index, stream=stream, count=count), op, mean)
    return images


def pad_crop(images: tf.Tensor, draws: tf.Tensor, op: operations.PadCrop, mean) -> tf.Tensor:
    """Pad by `op.padding` and crop the original size; draws (N, 2) choose the offsets of rows and columns."""
    height, width = images.shape[1:3]
    offsets = tf.cast(draws * (2 * op.padding + 1), tf.int32) - op.padding
    rows = offsets[:, :1] + tf.range(height)
    columns = offsets[:, 1:] + tf.range(width)
    if op.fill == "reflect":
        return _take(images, _reflect(rows, height), _reflect(columns, width))
    cropped = _take(images, tf.clip_by_value(rows, 0, height - 1), tf.clip_by_value(columns, 0, width - 1))
    inside = _within(rows, 0, height)[:, :, None] & _within(columns, 0, width)[:, None, :]
    return tf.where(inside[..., None], cropped, _colour(op.fill, mean))


def flip_lr(images: tf.Tensor, draws: tf.Tensor, op: operations.FlipLR, mean) -> tf.Tensor:
    """Mirror the images whose draw (N, 1) is below `op.probability`."""
    return tf.where((draws < op.probability)[:, :, None, None], images[:, :, ::-1], images)


def cutout(images: tf.Tensor, draws: tf.Tensor, op: operations.Cutout, mean) -> tf.Tensor:
    """Cover a square of `op.size`; draws (N, 2) choose its centre anywhere in the image, the border clips it."""
    height, width = images.shape[1:3]
    top_left = tf.cast(draws * [height, width], tf.int32) - op.size // 2
    rows = _within(tf.range(height), top_left[:, :1], top_left[:, :1] + op.size)
    columns = _within(tf.range(width), top_left[:, 1:], top_left[:, 1:] + op.size)
    covered = rows[:, :, None] & columns[:, None, :]
    return tf.where(covered[..., None], _colour(op.fill, mean), images)


# operation -> (what it does, draws it needs for each image)
_APPLY = {operations.PadCrop: (pad_crop, 2), operations.FlipLR: (flip_lr, 1), operations.Cutout: (cutout, 2)}


def _take(images, rows, columns):
    """Each image's own rows (N, h) and columns (N, w)."""
    return tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


def _reflect(positions, length):
    """Mirror positions at the border pixels, which are not repeated, as often as needed."""
    period = max(2 * (length - 1), 1)
    positions %= period
    return tf.minimum(positions, period - positions) if length > 1 else positions


def _within(positions, start, stop):
    return (positions >= start) & (positions < stop)


def _colour(fill, mean):
    return tf.cast(tf.round(mean), tf.uint8) if fill == "mean" else tf.constant(fill, tf.uint8)

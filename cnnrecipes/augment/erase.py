"""Cutout and random erasing."""

from __future__ import annotations

import tensorflow as tf

from cnnrecipes.augment import operations
from cnnrecipes.augment.boxes import choose_box
from cnnrecipes.augment.filters import uniform_noise
from cnnrecipes.augment.geometry import fill_colour, within


def cutout(images: tf.Tensor, draws: tf.Tensor, op: operations.Cutout, mean) -> tf.Tensor:
    """Fill a square of `op.size` pixels; draws (N, 4): its centre, anywhere in the image, and the seed of its noise."""
    return _cover(images, cutout_box(draws, op, *images.shape[1:3]), draws[:, 2:], op, mean)


def cutout_box(draws: tf.Tensor, op: operations.Cutout, height: int, width: int) -> tuple[tf.Tensor, ...]:
    """Return top, left, bottom and right (N,) of the squares, which may extend outside the image.

    draws: (N, 2 or more); the first two choose the centre.
    """
    top_left = tf.cast(draws[:, :2] * [height, width], tf.int32) - op.size // 2
    return (*tf.unstack(top_left, axis=1), *tf.unstack(top_left + op.size, axis=1))


def random_erasing(images: tf.Tensor, draws: tf.Tensor, op: operations.RandomErasing, mean) -> tf.Tensor:
    """Fill a rectangle inside the image; draws (N, 25): apply or not, the box, and the seed of its noise.

    An image is returned unchanged if none of ten sampled boxes fits.
    """
    height, width = images.shape[1:3]
    top, left, rows, columns, found = choose_box(draws[:, 1:23], height, width, op.scale, op.ratio)
    erased = (draws[:, 0] < op.probability) & found
    bottom = tf.where(erased, top + rows, top)
    return _cover(images, (top, left, bottom, left + columns), draws[:, 23:], op, mean)


def box_mask(height: int, width: int, top, left, bottom, right) -> tf.Tensor:
    """Return a bool mask (N, H, W, 1), true inside each image's box; its edges (N,) may lie outside the image."""
    rows = within(tf.range(height), top[:, None], bottom[:, None])
    columns = within(tf.range(width), left[:, None], right[:, None])
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def _cover(images, box, seed_draws, op, mean):
    colour = uniform_noise(images, seed_draws) if op.fill == "noise" else fill_colour(op.fill, mean)
    return tf.where(box_mask(*images.shape[1:3], *box), colour, images)

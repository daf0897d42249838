"""Affine transforms with bilinear interpolation, and the faster shifts of rows and columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.augment.pixel_ops import take

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")


def rotation(degrees: tf.Tensor) -> tf.Tensor:
    """Return the affine maps (N, 2, 3) of counterclockwise angles (N,) in degrees, for `affine`."""
    angle = degrees * (math.pi / 180)
    return _maps(tf.cos(angle), -tf.sin(angle), 0.0, tf.sin(angle), tf.cos(angle), 0.0)


def translation(right: tf.Tensor, down: tf.Tensor) -> tf.Tensor:
    """Return the affine maps (N, 2, 3) that move the content by (N,) pixels to the right and down."""
    return _maps(tf.ones_like(right), 0.0, -right, 0.0, 1.0, -down)


def shearing(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Return the affine maps (N, 2, 3) of shears with slopes (N,), for `affine`.

    An output row is read x pixels further right for each pixel that it lies below the center; columns likewise by y.
    """
    return _maps(tf.ones_like(x), x, 0.0, y, 1.0, 0.0)


def affine(images: tf.Tensor, maps: tf.Tensor, color: tf.Tensor, interpolation: str = "BILINEAR") -> tf.Tensor:
    """Apply an affine transform about the center to each image.

    Args:
        images: (N, H, W, C), uint8.
        maps: (N, 2, 3), from output coordinates (x, y, 1) to input coordinates (x, y), in pixels; origin: the center.
        color: uint8, (C,) or a scalar; fill color for pixels outside of the image.
        interpolation: "BILINEAR" or "NEAREST".

    Returns:
        (N, H, W, C), uint8, rounded.
    """
    height, width = images.shape[1:3]
    center = tf.constant([(width - 1) / 2, (height - 1) / 2], tf.float32)
    linear = maps[:, :, :2]
    shift = maps[:, :, 2] + center - tf.linalg.matvec(linear, center)
    rows = tf.reshape(tf.concat([linear, shift[:, :, None]], 2), (-1, 6))
    rows = tf.concat([rows, tf.zeros_like(rows[:, :2])], 1)
    # The kernel fills with a single number, so the color is subtracted first and 0 filled in. It is tiled to a whole
    # row, since broadcasting three numbers is four times slower.
    color = tf.tile(tf.broadcast_to(tf.cast(color, tf.float32), images.shape[-1:]), [width])
    flat = (-1, width * images.shape[-1])
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.reshape(tf.reshape(tf.cast(images, tf.float32), flat) - color, tf.shape(images)),
        transforms=rows,
        output_shape=[height, width],
        fill_value=0.0,
        interpolation=interpolation,
        fill_mode="CONSTANT",
    )
    # No clipping: interpolation between values 0..255 stays within 0..255.
    moved = tf.round(tf.reshape(moved, flat) + color)
    return tf.reshape(tf.cast(moved, tf.uint8), tf.shape(images))


def slide_rows(images: tf.Tensor, shifts: tf.Tensor, color: tf.Tensor) -> tf.Tensor:
    """Shift each row horizontally with linear interpolation; same as `affine` for such maps, and 3 times as fast.

    Args:
        images: (N, H, W, C), uint8.
        shifts: (N, H), in pixels, fractions allowed; a row is read this much further right.
        color: uint8, (C,) or a scalar; fill color for pixels outside of the image.

    Returns:
        (N, H, W, C), uint8, rounded.
    """
    n = tf.shape(images)[0]
    height, width, channels = images.shape[1:]
    whole = tf.floor(shifts)
    edge = tf.broadcast_to(color, (n, height, 1, channels))
    pixels = tf.reshape(tf.concat([edge, images, edge], 2), (-1, channels))
    columns = _clip(tf.cast(whole, tf.int32)[..., None] + tf.range(1, width + 2), width + 1)
    starts = tf.reshape(tf.range(n * height) * (width + 2), (n, height, 1))
    taken = take(pixels, columns + starts)
    rows = (-1, width * channels)
    left, right = tf.reshape(taken[:, :, :-1], rows), tf.reshape(taken[:, :, 1:], rows)
    return tf.reshape(_between(left, right, tf.reshape(shifts - whole, (-1, 1))), tf.shape(images))


def slide_columns(images: tf.Tensor, shifts: tf.Tensor, color: tf.Tensor) -> tf.Tensor:
    """Shift each column vertically: read it `shifts` (N, W) pixels further down; otherwise as `slide_rows`."""
    n = tf.shape(images)[0]
    height, width, channels = images.shape[1:]
    whole = tf.floor(shifts)
    edge = tf.broadcast_to(color, (n, 1, width, channels))
    pixels = tf.reshape(tf.concat([edge, images, edge], 1), (-1, channels))
    rows = _clip(tf.cast(whole, tf.int32)[:, None] + tf.range(1, height + 2)[:, None], height + 1)
    starts = tf.range(n)[:, None] * ((height + 2) * width) + tf.range(width)
    taken = tf.reshape(take(pixels, rows * width + starts[:, None]), (n, height + 1, width * channels))
    shares = tf.repeat(shifts - whole, channels, axis=1)[:, None]
    return tf.reshape(_between(taken[:, :-1], taken[:, 1:], shares), tf.shape(images))


def _between(first: tf.Tensor, second: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Interpolate linearly from `first` (share 0) to `second` (share 1), rounded to uint8."""
    start = tf.cast(first, tf.float32)
    return tf.cast(tf.round(start + (tf.cast(second, tf.float32) - start) * share), tf.uint8)


def _clip(positions: tf.Tensor, last: int) -> tf.Tensor:
    """Clip positions to 0..last; the raw operation is one pass, `tf.clip_by_value` is two."""
    return tf.raw_ops.ClipByValue(t=positions, clip_value_min=0, clip_value_max=last)


def _maps(*numbers) -> tf.Tensor:
    like = numbers[0]
    return tf.reshape(tf.stack([n + tf.zeros_like(like) for n in numbers], 1), (-1, 2, 3))

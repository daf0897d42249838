"""Affine transforms with bilinear interpolation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.augment.xla_compilation import compiled_in_chunks

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")

_UNIT = 2**16  # of fixed-point coordinates: 1 pixel
_BORDER = 2  # pixels of the fill color around an image, so that both neighbors of a position have a source


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


def composed(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Return the affine maps (N, 2, 3) of a transform followed by a second one, which then take one interpolation."""
    linear, shift = first[:, :, :2], first[:, :, 2:]
    # Written out instead of a matrix product, whose order of additions may depend on N.
    product = linear[:, :, :1] * second[:, :1] + linear[:, :, 1:] * second[:, 1:]
    return product + tf.concat([tf.zeros_like(linear), shift], 2)


def affine(images: tf.Tensor, maps: tf.Tensor, color: tf.Tensor) -> tf.Tensor:
    """Apply an affine transform about the center to each image, with bilinear interpolation.

    Positions are in fixed point: a map is rounded to 2**-15 (its shift to 2**-16 pixels), and a position to 1/256
    pixel. They must be below 2**15 pixels.

    Args:
        images: (N, H, W, C), uint8.
        maps: (N, 2, 3), from output coordinates (x, y, 1) to input coordinates (x, y), in pixels; origin: the center.
        color: uint8, (C,) or a scalar; fill color for pixels outside of the image.

    Returns:
        (N, H, W, C), uint8, rounded.
    """
    return _interpolated(images, _fixed(maps), _colors(images, color))


def affine_along_axis(images: tf.Tensor, maps: tf.Tensor, color: tf.Tensor) -> tf.Tensor:
    """Apply affine maps that leave x or y unchanged; same as `affine`, with 2 neighbors of each position instead of 4.

    The result is undefined for other maps, those for which `is_along_axis` is false.
    """
    return _interpolated_along_axis(images, _fixed(maps), _colors(images, color))


def is_along_axis(maps: tf.Tensor) -> tf.Tensor:
    """Return whether affine maps (N, 2, 3) leave x or y unchanged, (N,) bool."""
    return tf.reduce_any(tf.reduce_all(_fixed(maps) == _fixed(tf.eye(2, 3)), 2), 1)


def _fixed(maps: tf.Tensor) -> tf.Tensor:
    """Return maps (N, 2, 3) in fixed point, int32.

    The linear part is in half units, since it is multiplied by twice the distance from the center, an integer.
    """
    return tf.cast(tf.round(maps * [_UNIT / 2, _UNIT / 2, _UNIT]), tf.int32)


def _colors(images: tf.Tensor, color: tf.Tensor) -> tf.Tensor:
    return tf.broadcast_to(color, (tf.shape(images)[0], images.shape[-1]))


@compiled_in_chunks
def _interpolated(images: tf.Tensor, maps: tf.Tensor, colors: tf.Tensor) -> tf.Tensor:
    """Interpolate images (n, H, W, C) at the positions of fixed-point maps (n, 2, 3), with fill colors (n, C)."""
    pixels, x_part, y_part, line = _neighbors(images, maps, colors)
    above = pixels(0) * (256 - x_part) + pixels(1) * x_part
    below = pixels(line) * (256 - x_part) + pixels(line + 1) * x_part
    return tf.cast(_shifted(above * (256 - y_part) + below * y_part + 2**15, 16), tf.uint8)


@compiled_in_chunks
def _interpolated_along_axis(images: tf.Tensor, maps: tf.Tensor, colors: tf.Tensor) -> tf.Tensor:
    """As `_interpolated`, for maps that leave x or y unchanged, whose fraction is therefore 0."""
    pixels, x_part, y_part, line = _neighbors(images, maps, colors)
    along_x = tf.reduce_all(maps[:, 1] == [0, _UNIT // 2, 0], 1)[:, None, None]
    part = x_part + y_part
    return tf.cast(_shifted(pixels(0) * (256 - part) + pixels(tf.where(along_x, 1, line)) * part + 2**7, 8), tf.uint8)


def _neighbors(images: tf.Tensor, maps: tf.Tensor, colors: tf.Tensor) -> tuple[Callable, tf.Tensor, tf.Tensor, int]:
    """Return a function from an offset to pixels (n, H, W, C), int32, and what else an interpolation takes.

    Offset 0 are the pixels to the upper left of the positions. The others returned are the fractions of the positions
    in x and y (n, H, W, 1), in 1/256, and the offset of the next line.
    """
    n, height, width, channels = images.shape
    x_part, x = _positions(maps[:, 0], height, width, width)
    y_part, y = _positions(maps[:, 1], height, width, height)
    line = width + 2 * _BORDER
    padded = tf.reshape(_padded(images, colors), (-1, channels))
    first = (tf.range(n)[:, None, None] * (height + 2 * _BORDER) + y) * line + x

    def pixels(offset):
        return tf.cast(tf.gather(padded, first + offset), tf.int32)

    return pixels, x_part[..., None], y_part[..., None], line


def _padded(images: tf.Tensor, colors: tf.Tensor) -> tf.Tensor:
    """Return images with a border of the fill color, as rows of values: (n, H + border, (W + border) * C).

    Whole rows are joined: XLA's loops over three channels are several times slower than those over a row.
    """
    n, height, width, channels = images.shape

    def filled(rows, pixels):
        return tf.broadcast_to(tf.tile(colors, (1, pixels))[:, None], (n, rows, pixels * channels))

    side = filled(height, _BORDER)
    above = filled(_BORDER, width + 2 * _BORDER)
    middle = tf.concat([side, tf.reshape(images, (n, height, width * channels)), side], 2)
    return tf.concat([above, middle, above], 1)


def _positions(maps: tf.Tensor, height: int, width: int, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the fraction in 1/256 and the whole part (n, H, W), int32, of one coordinate in the padded image.

    maps: (n, 3), fixed point, the row of the coordinate; length: number of pixels along it.
    """
    x = 2 * tf.range(width) - (width - 1)
    y = 2 * tf.range(height) - (height - 1)
    right, down, shift = (maps[:, i, None, None] for i in range(3))
    center = (length - 1) * (_UNIT // 2)
    exact = right * x + down * y[:, None] + shift + center
    rounded = _shifted(exact + 2**7, 8)
    whole = tf.clip_by_value(_shifted(rounded, 8), -_BORDER, length)
    return rounded & 255, whole + _BORDER


def _shifted(values: tf.Tensor, bits: int) -> tf.Tensor:
    return tf.bitwise.right_shift(values, bits)


def _maps(*numbers) -> tf.Tensor:
    like = numbers[0]
    return tf.reshape(tf.stack([n + tf.zeros_like(like) for n in numbers], 1), (-1, 2, 3))

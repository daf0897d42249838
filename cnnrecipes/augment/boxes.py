"""Boxes: random ones inside an image, with given ranges of relative area and aspect ratio; masks of boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.augment.gather_and_select import within

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")

ATTEMPTS = 10
DRAWS = 2 * ATTEMPTS + 2


def choose_box(draws: tf.Tensor, height, width, scale: tuple[float, float], ratio: tuple[float, float]):
    """Sample a box per image by rejection, with at most ten attempts, as torchvision's RandomResizedCrop.

    Args:
        draws: (N, 22), uniform in [0, 1).
        height, width: size of the images in pixels; scalars or (N,).
        scale: range of the box's area relative to the image's, sampled uniformly.
        ratio: range of its aspect ratio (width / height), sampled uniformly on a logarithmic scale.

    Returns:
        top, left, rows, columns: (N,) int32, in pixels; and found: (N,) bool, true where an attempt fits. Elsewhere
        the box is the largest centered one with the nearest allowed aspect ratio.
    """
    height, width = (tf.cast(tf.broadcast_to(n, [tf.shape(draws)[0]]), tf.float32) for n in (height, width))
    area = height * width
    shares = scale[0] + (scale[1] - scale[0]) * draws[:, 0 : 2 * ATTEMPTS : 2]
    low, high = tf.math.log(ratio[0]), tf.math.log(ratio[1])
    ratios = tf.exp(low + (high - low) * draws[:, 1 : 2 * ATTEMPTS : 2])
    columns = tf.round(tf.sqrt(area[:, None] * shares * ratios))
    rows = tf.round(tf.sqrt(area[:, None] * shares / ratios))
    fits = (columns <= width[:, None]) & (rows <= height[:, None]) & (columns > 0) & (rows > 0)
    found = tf.reduce_any(fits, 1)
    first = tf.argmax(tf.cast(fits, tf.int32), 1, output_type=tf.int32)
    rows, columns = (tf.gather(sizes, first, batch_dims=1) for sizes in (rows, columns))
    largest_rows = tf.minimum(height, tf.round(width / ratio[0]))
    largest_columns = tf.minimum(width, tf.round(height * ratio[1]))
    rows, columns = tf.where(found, rows, largest_rows), tf.where(found, columns, largest_columns)
    place = tf.where(found[:, None], draws[:, -2:], 0.5)
    top = tf.floor(place[:, 0] * (height - rows + 1))
    left = tf.floor(place[:, 1] * (width - columns + 1))
    # A draw just below 1 may round up to 1.
    top, left = tf.minimum(top, height - rows), tf.minimum(left, width - columns)
    return *(tf.cast(n, tf.int32) for n in (top, left, rows, columns)), found


def box_mask(height: int, width: int, top, left, bottom, right) -> tf.Tensor:
    """Return a bool mask (N, H, W, 1), true inside each image's box, whose edges (N,) may be outside the image."""
    rows = within(tf.range(height), top[:, None], bottom[:, None])
    columns = within(tf.range(width), left[:, None], right[:, None])
    return (rows[:, :, None] & columns[:, None, :])[..., None]

"""Framing: which part of an image a training example shows, chosen and brought to size while the image is read."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from cnnrecipes.augment import boxes
from cnnrecipes.augment import operations as spec
from cnnrecipes.data.images.decode import covering_shape, decode_box, decode_routed, image_size, to_uint8

# operation -> draws that it takes for each image
DRAWS = {spec.RandomResizedCrop: boxes.DRAWS, spec.RandomCrop: 3}


def frame_file(encoded, route, draws, op: spec.Framing, size: tuple[int, int], channels: int) -> tf.Tensor:
    """Decode what the framing shows of a file, and no more of a JPEG; the same as `frame` of the decoded image.

    Args:
        encoded, route: the file's bytes and how to decode them (`images.choose_route`).
        draws: (k,) from [0, 1).
        size: height and width of the result.

    Returns:
        (H, W, channels), uint8.
    """
    if isinstance(op, spec.RandomCrop):
        return frame(decode_routed(encoded, route, channels), draws, op, size)
    box = _box(image_size(encoded, route), draws, op)
    return resample(decode_box(encoded, route, box, channels), size)


def frame(image, draws, op: spec.Framing, size: tuple[int, int]) -> tf.Tensor:
    """What the framing shows of a decoded image (H, W, C), uint8; draws (k,). Returns (height, width, C), uint8."""
    shape = tf.shape(image)[:2]
    if isinstance(op, spec.RandomResizedCrop):
        top, left, rows, columns = _box(shape, draws, op)
        return resample(image[top : top + rows, left : left + columns], size)
    scaled = covering_shape(shape, size, _short_side(draws[0], op, min(size)))
    offset = tf.floor(draws[1:] * tf.cast(scaled - size + 1, tf.float32))
    offset = tf.minimum(offset, tf.cast(scaled - size, tf.float32))
    # Resized and cut in one: only what is kept is computed.
    cut = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=size,
        scale=tf.cast(scaled, tf.float32) / tf.cast(shape, tf.float32),
        translation=-offset,
        kernel_type="triangle",
        antialias=True,
    )
    return tf.ensure_shape(to_uint8(cut[0]), (*size, image.shape[-1]))


def frame_batch(images, draws, op: spec.Framing, size: tuple[int, int]) -> tf.Tensor:
    """`frame` of each of (N, H, W, C) by its own draws (N, k)."""
    signature = tf.TensorSpec((*size, images.shape[-1]), tf.uint8)
    one: Callable = lambda pair: frame(pair[0], pair[1], op, size)  # noqa: E731
    return tf.map_fn(one, (images, draws), fn_output_signature=signature)


def _box(shape, draws, op: spec.RandomResizedCrop):
    *box, _ = boxes.choose_box(draws[None], shape[0], shape[1], op.scale, op.ratio)
    return [n[0] for n in box]


def resample(part: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """To (height, width), rounded: means over areas where there are pixels to spare, otherwise bilinear.

    As OpenCV's INTER_AREA, and FFCV with it. Antialiased resizing by a triangle, as Pillow's, takes twice as long; for
    validation, where it is not drawn anew in every epoch, `images.resize` does that.
    """
    shrinks = tf.reduce_prod(tf.shape(part)[:2]) >= size[0] * size[1]
    values = tf.cond(
        shrinks,
        lambda: tf.image.resize(part, size, method="area"),
        lambda: tf.image.resize(part, size, method="bilinear"),
    )
    # Means of 0..255 need no cutting off.
    return tf.ensure_shape(tf.cast(values + 0.5, tf.uint8), (*size, part.shape[-1]))


def _short_side(draw, op: spec.RandomCrop, size: int):
    """The side in pixels: given, drawn from a range with both ends, or 8/7 of the size as 256 is of 224."""
    if op.short_side is None:
        return round(size * 8 / 7)
    if isinstance(op.short_side, int):
        return op.short_side
    low, high = op.short_side
    return low + tf.minimum(tf.cast(draw * (high - low + 1), tf.int32), high - low)

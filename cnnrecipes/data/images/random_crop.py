"""Random crops during decoding: the crop box of a training image is drawn, decoded and resized."""

from __future__ import annotations

import tensorflow as tf

from cnnrecipes.augment.crops import RandomCrop
from cnnrecipes.augment.operation import CropWhileDecoding
from cnnrecipes.data.images.decode import covering_shape, decode_box, decode_routed, image_size, to_uint8


def crop_file(encoded, route, draws, op: CropWhileDecoding, size: tuple[int, int], channels: int) -> tf.Tensor:
    """Decode the random crop of a file; of a JPEG only that part. Bit-identical to `crop_image` of the decoded image.

    Args:
        encoded, route: the file's bytes, and the result of `decode.choose_route`.
        draws: (k,) float32 in [0, 1); `op.draws` of them.
        op: the crop operation.
        size: height and width of the result.
        channels: 1 or 3.

    Returns:
        (H, W, channels), uint8.
    """
    if isinstance(op, RandomCrop):
        return crop_image(decode_routed(encoded, route, channels), draws, op, size)
    stored = image_size(encoded, route)
    box = op.box(draws, stored[0], stored[1])
    return resample(decode_box(encoded, route, box, channels), size)


def crop_image(image, draws, op: CropWhileDecoding, size: tuple[int, int]) -> tf.Tensor:
    """Return the random crop (height, width, C), uint8, of a decoded image (H, W, C), uint8; draws (k,) in [0, 1)."""
    shape = tf.shape(image)[:2]
    if not isinstance(op, RandomCrop):
        top, left, rows, columns = op.box(draws, shape[0], shape[1])
        return resample(image[top : top + rows, left : left + columns], size)
    scaled = covering_shape(shape, size, op.choose_short_side(draws[0], min(size)))
    offset = tf.floor(draws[1:] * tf.cast(scaled - size + 1, tf.float32))
    offset = tf.minimum(offset, tf.cast(scaled - size, tf.float32))
    # Resize and crop in one step, to compute only the pixels of the crop.
    cut = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=size,
        scale=tf.cast(scaled, tf.float32) / tf.cast(shape, tf.float32),
        translation=-offset,
        kernel_type="triangle",
        antialias=True,
    )
    return tf.ensure_shape(to_uint8(cut[0]), (*size, image.shape[-1]))


def crop_batch(images, draws, op: CropWhileDecoding, size: tuple[int, int]) -> tf.Tensor:
    """Apply `crop_image` to each image of (N, H, W, C) with its own draws (N, k)."""
    signature = tf.TensorSpec((*size, images.shape[-1]), tf.uint8)

    def one(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        return crop_image(*pair, op, size)

    return tf.map_fn(one, (images, draws), fn_output_signature=signature)


def resample(part: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Resize to (height, width): area averaging to shrink, bilinear to enlarge; uint8.

    Equivalent to OpenCV's INTER_AREA, which FFCV uses. Antialiased triangle resizing, as in Pillow, takes twice as
    long; `decode.resize` uses it for validation.
    """
    shrinks = tf.reduce_prod(tf.shape(part)[:2]) >= size[0] * size[1]
    values = tf.cond(
        shrinks,
        lambda: tf.image.resize(part, size, method="area"),
        lambda: tf.image.resize(part, size, method="bilinear"),
    )
    # Averages of 0..255 need no clipping.
    return tf.ensure_shape(tf.cast(values + 0.5, tf.uint8), (*size, part.shape[-1]))

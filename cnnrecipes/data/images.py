"""From encoded bytes to uint8 images of one size; training, validation and prediction all read through here."""

from __future__ import annotations

import re

import tensorflow as tf

EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp")


def decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """JPEG, PNG, GIF (first frame) or BMP bytes to (H, W, channels) uint8; 1 channel is gray, 3 are RGB.

    JPEG goes through the exact DCT, so that the values are libjpeg's and Pillow's to the last bit.

    Raises:
        tf.errors.InvalidArgumentError: not an image, or a truncated one.
    """
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, channels=channels, dct_method="INTEGER_ACCURATE"),
        lambda: _decode_other(encoded, channels),
    )
    return tf.ensure_shape(image, (None, None, channels))


def _decode_other(encoded, channels):
    header = tf.pad(tf.io.decode_raw(tf.strings.substr(encoded, 0, 30), tf.uint8), [[0, 30]])
    # TensorFlow gives the palette's indices as if they were gray.
    palette = (header[0] == ord("B")) & (header[1] == ord("M")) & (header[28] <= 8)
    tf.debugging.assert_equal(palette, False, message="a BMP with a palette is not supported; save it as PNG")
    rgb = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return rgb if channels == 3 else tf.image.rgb_to_grayscale(rgb)


def resize(images: tf.Tensor, size: int, how: str) -> tf.Tensor:
    """To (size, size) without changing proportions, antialiased, rounded to uint8; exact where the size is right.

    Args:
        images: (H, W, C) or (N, H, W, C), uint8.
        how: "crop": the short side becomes `size`, the middle of the long side is kept; "pad": the long side
            becomes `size`, black borders fill the rest.

    Returns:
        (size, size, C) or (N, size, size, C), uint8.
    """
    shape = tf.shape(images)[-3:-1]
    done = tf.reduce_all(shape == size)
    scale = _crop if how == "crop" else _pad
    resized = tf.cond(done, lambda: images, lambda: _to_uint8(scale(images, shape, size)))
    return tf.ensure_shape(resized, (*images.shape[:-3], size, size, images.shape[-1]))


def _crop(images, shape, size):
    short = tf.cast(tf.reduce_min(shape), tf.float64)
    scaled = tf.cast(tf.round(tf.cast(shape, tf.float64) * size / short), tf.int32)
    images = tf.image.resize(images, scaled, antialias=True)
    top, left = tf.unstack((scaled - size) // 2)
    return images[..., top : top + size, left : left + size, :]


def _pad(images, shape, size):
    long = tf.cast(tf.reduce_max(shape), tf.float64)
    scaled = tf.maximum(tf.cast(tf.round(tf.cast(shape, tf.float64) * size / long), tf.int32), 1)
    images = tf.image.resize(images, scaled, antialias=True)
    top, left = tf.unstack((size - scaled) // 2)
    return tf.image.pad_to_bounding_box(images, top, left, size, size)


def reason(error: Exception) -> str:
    """What is wrong with a file, in a line, without TensorFlow's names of graph nodes."""
    text = getattr(error, "message", None) or str(error)
    return re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*", "", text.partition("\n")[0])


def _to_uint8(images):
    return tf.saturate_cast(tf.round(images), tf.uint8)

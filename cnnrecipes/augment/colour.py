"""Batched colour operations, bit-exact with Pillow's ImageEnhance and ImageOps.

Enhancement factors have the shape (N,), one per image: 1 returns the image unchanged; 0 returns black (brightness),
uniform gray (contrast) or grayscale (saturation). Single-channel images are unchanged by saturation and hue.
"""

from __future__ import annotations

import math

import tensorflow as tf

from cnnrecipes.augment import operations
from cnnrecipes.augment.geometry import take, where

# Pillow's weights of red, green and blue in gray (ITU-R 601-2), in 1/65536.
_LUMA = (19595.0, 38470.0, 7471.0)


def colour_jitter(images: tf.Tensor, draws: tf.Tensor, op: operations.ColourJitter, mean) -> tf.Tensor:
    """Adjust contrast, brightness, saturation and hue, in this order.

    draws: (N, 4), for brightness, contrast, saturation and hue.
    """
    factors = 1 + (2 * draws[:, :3] - 1) * [op.brightness, op.contrast, op.saturation]
    factors = tf.maximum(factors, 0.0)
    values = tf.cast(images, tf.float32)
    if op.contrast:
        values = _towards(_mean_gray(values), values, factors[:, 1])
    if op.brightness:
        values = _towards(0.0, values, factors[:, 0])
    if op.saturation and images.shape[-1] == 3:
        values = _towards(gray(values), values, factors[:, 2])
    if op.hue and images.shape[-1] == 3:
        values = tf.round(turn_hue(values, (2 * draws[:, 3] - 1) * op.hue))
    return tf.cast(values, tf.uint8)


def grayscale(images: tf.Tensor, draws: tf.Tensor, op: operations.Grayscale, mean) -> tf.Tensor:
    """Convert to grayscale, keeping the number of channels, where the draw (N, 1) is below `op.probability`."""
    if images.shape[-1] == 1:
        return images
    shades = tf.cast(gray(tf.cast(images, tf.float32)), tf.uint8)
    return where(draws[:, 0] < op.probability, shades, images)


def solarize(images: tf.Tensor, draws: tf.Tensor, op: operations.Solarize, mean) -> tf.Tensor:
    """Invert values at or above the threshold, where the draw (N, 1) is below `op.probability`."""
    thresholds = tf.fill([tf.shape(images)[0]], float(op.threshold))
    return where(draws[:, 0] < op.probability, solarized(images, thresholds), images)


def posterize(images: tf.Tensor, draws: tf.Tensor, op: operations.Posterize, mean) -> tf.Tensor:
    """Keep the most significant `op.bits` bits of each value, where the draw (N, 1) is below `op.probability`."""
    bits = tf.fill([tf.shape(images)[0]], float(op.bits))
    return where(draws[:, 0] < op.probability, posterized(images, bits), images)


def autocontrast(images: tf.Tensor, draws: tf.Tensor, op: operations.Autocontrast, mean) -> tf.Tensor:
    """Maximize the contrast of each channel, where the draw (N, 1) is below `op.probability`."""
    return where(draws[:, 0] < op.probability, autocontrasted(images), images)


def equalize(images: tf.Tensor, draws: tf.Tensor, op: operations.Equalize, mean) -> tf.Tensor:
    """Equalize the histogram of each channel, where the draw (N, 1) is below `op.probability`."""
    return where(draws[:, 0] < op.probability, equalized(images), images)


def brightened(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Apply ImageEnhance.Brightness with one factor per image (N,)."""
    return tf.cast(_towards(0.0, tf.cast(images, tf.float32), factors), tf.uint8)


def contrasted(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Apply ImageEnhance.Contrast with one factor per image (N,)."""
    values = tf.cast(images, tf.float32)
    return tf.cast(_towards(_mean_gray(values), values, factors), tf.uint8)


def saturated(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Apply ImageEnhance.Color with one factor per image (N,)."""
    if images.shape[-1] == 1:
        return images
    values = tf.cast(images, tf.float32)
    return tf.cast(_towards(gray(values), values, factors), tf.uint8)


def solarized(images: tf.Tensor, thresholds: tf.Tensor) -> tf.Tensor:
    """Apply ImageOps.solarize; thresholds (N,) in 0..256, rounded up, since values are integers."""
    thresholds = tf.cast(tf.math.ceil(thresholds), tf.int32)[:, None]
    # In bytes: the first value to be inverted, and whether there is one at all. 255 - x is x with every bit turned.
    flat = _flat(images)
    turned = tf.cast(flat >= tf.cast(tf.minimum(thresholds, 255), tf.uint8), tf.uint8)
    turned *= tf.where(thresholds <= 255, tf.constant(255, tf.uint8), tf.constant(0, tf.uint8))
    return tf.reshape(tf.bitwise.bitwise_xor(flat, turned), tf.shape(images))


def posterized(images: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Apply ImageOps.posterize; bits (N,) in 0..8, rounded down."""
    dropped = 8 - tf.cast(bits, tf.int32)
    mask = tf.cast(tf.bitwise.left_shift(255, dropped) % 256, tf.uint8)
    return tf.reshape(tf.bitwise.bitwise_and(_flat(images), mask[:, None]), tf.shape(images))


def inverted(images: tf.Tensor) -> tf.Tensor:
    """Apply ImageOps.invert."""
    return 255 - images


def autocontrasted(images: tf.Tensor) -> tf.Tensor:
    """Apply ImageOps.autocontrast: map each channel's minimum to 0 and maximum to 255; constant channels are kept."""
    low = tf.cast(tf.reduce_min(images, (1, 2)), tf.float64)[..., None]
    high = tf.cast(tf.reduce_max(images, (1, 2)), tf.float64)[..., None]
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


def gray(values: tf.Tensor) -> tf.Tensor:
    """Return Pillow's luma of RGB values (..., 3), float32 integers 0..255, repeated in all three channels.

    Exact, since every sum is below 2**24 units of 2**-16; a GPU that multiplies in TF32 may be off by 1.
    """
    # One matrix for all three channels, as broadcasting one of them is slower.
    weights = tf.repeat(tf.constant(_LUMA)[:, None] / 65536, 3, axis=1)
    return tf.reshape(tf.floor(tf.matmul(tf.reshape(values, (-1, 3)), weights) + 0.5), tf.shape(values))


def turn_hue(values: tf.Tensor, turns: tf.Tensor) -> tf.Tensor:
    """Shift the hue of RGB values by `turns` (N,), fractions of a full circle, with TensorFlow's AdjustHue kernel."""
    if values.shape[0] is not None and values.shape[0] <= 128:
        # Written out, a third faster than a loop.
        turned = [tf.raw_ops.AdjustHue(images=values[i], delta=turns[i]) for i in range(values.shape[0])]
        return tf.stack(turned) if turned else values
    return tf.map_fn(
        lambda pair: tf.raw_ops.AdjustHue(images=pair[0], delta=pair[1]),
        (values, turns),
        fn_output_signature=tf.TensorSpec(values.shape[1:], tf.float32),
    )


def _mean_gray(values: tf.Tensor) -> tf.Tensor:
    """Return the mean luma of each image, rounded half up, (N, 1)."""
    height, width, channels = values.shape[1:]
    weights = tf.constant(_LUMA)[:, None] / 65536 if channels == 3 else tf.ones((1, 1))
    shades = tf.floor(tf.matmul(tf.reshape(values, (-1, channels)), weights) + 0.5)
    # Sums of a row are exact in float32, of an image in float64.
    rows = tf.reduce_sum(tf.reshape(shades, (-1, height, width)), 2)
    total = tf.reduce_sum(tf.cast(rows, tf.float64), 1, keepdims=True)
    return tf.cast(tf.floor(total / (height * width) + 0.5), tf.float32)


def _towards(start, values: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Return start + factor * (values - start), clipped and truncated to integers 0..255, as Pillow's blend.

    start: a scalar, one value per image (N, 1), or a tensor of the shape of `values`.
    """
    if isinstance(start, tf.Tensor) and len(start.shape) == 4:
        start = _flat(start)
    moved = start + (_flat(values) - start) * factors[:, None]
    # The raw operation is one pass over the values; clip_by_value is two.
    moved = tf.raw_ops.ClipByValue(t=moved, clip_value_min=0.0, clip_value_max=255.0)
    return tf.reshape(tf.floor(moved), tf.shape(values))


def _histograms(images: tf.Tensor) -> tf.Tensor:
    """Return the histogram of each channel: (N, H, W, C) uint8 -> counts (N, C, 256) int32."""
    n, channels = tf.shape(images)[0], images.shape[-1]
    bins = n * channels * 256
    counts = tf.math.bincount(tf.reshape(_places(images), (-1,)), minlength=bins, maxlength=bins)
    return tf.reshape(counts, (n, channels, 256))


def _look_up(images: tf.Tensor, tables: tf.Tensor) -> tf.Tensor:
    """Map each value through its channel's lookup table; tables: (N, C, 256), integers 0..255."""
    found = take(tf.reshape(tf.cast(tables, tf.uint8), (-1,)), _places(images))
    return tf.reshape(found, tf.shape(images))


def _places(images: tf.Tensor) -> tf.Tensor:
    """Return the indices of values (N, H * W * C) in tables (N, C, 256); broadcasting one pattern is faster."""
    n, channels = tf.shape(images)[0], images.shape[-1]
    pattern = tf.tile(tf.range(channels) * 256, [math.prod(images.shape[1:3])])
    return tf.cast(_flat(images), tf.int32) + pattern + tf.range(n)[:, None] * (channels * 256)


def _flat(images: tf.Tensor) -> tf.Tensor:
    """Flatten (N, H, W, C) to (N, H * W * C): one number per image broadcasts three times faster over one axis."""
    return tf.reshape(images, (tf.shape(images)[0], math.prod(images.shape[1:])))

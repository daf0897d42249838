"""Color operations, bit-exact with Pillow's ImageEnhance and ImageOps.

Enhancement factors have the shape (N,), one per image: 1 returns the image unchanged; 0 returns black (brightness),
uniform gray (contrast) or grayscale (saturation). Single-channel images are unchanged by saturation and hue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.augment.gather_and_select import flat, where
from cnnrecipes.augment.operation import Operation, Probability, operation
from cnnrecipes.augment.xla_compilation import compiled_in_chunks

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")

# Pillow's weights of red, green and blue in gray (ITU-R 601-2), in 1/65536.
_LUMA = (19595.0, 38470.0, 7471.0)


@operation("color_jitter", "colour_jitter")
class ColorJitter(Operation):
    """Scale contrast, brightness and saturation by factors of 1 - x to 1 + x, and shift the hue by up to x circles."""

    draws = 4  # brightness, contrast, saturation, hue
    brightness: float = Field(default=0.4, ge=0)
    contrast: float = Field(default=0.4, ge=0)
    saturation: float = Field(default=0.4, ge=0)
    hue: float = Field(default=0.1, ge=0, le=0.5)

    def apply(self, images, draws, mean):
        factors = 1 + (2 * draws[:, :3] - 1) * [self.brightness, self.contrast, self.saturation]
        factors = tf.maximum(factors, 0.0)
        values = tf.cast(images, tf.float32)
        if self.contrast:
            values = _blend(_mean_gray(values), values, factors[:, 1])
        if self.brightness:
            values = _blend(0.0, values, factors[:, 0])
        if self.saturation and images.shape[-1] == 3:
            values = _blend(gray(values), values, factors[:, 2])
        if self.hue and images.shape[-1] == 3:
            values = tf.round(shift_hue(values, (2 * draws[:, 3] - 1) * self.hue))
        return tf.cast(values, tf.uint8)


@operation("grayscale")
class Grayscale(Operation):
    """Convert an image to grayscale with `probability`; the number of channels is unchanged."""

    probability: Probability = 0.1

    def apply(self, images, draws, mean):
        if images.shape[-1] == 1:
            return images
        shades = tf.cast(gray(tf.cast(images, tf.float32)), tf.uint8)
        return where(draws[:, 0] < self.probability, shades, images)


@operation("solarize")
class Solarize(Operation):
    """Invert the values at or above `threshold` of an image with `probability`."""

    threshold: int = Field(default=128, ge=0, le=256)
    probability: Probability = 0.2

    def apply(self, images, draws, mean):
        thresholds = tf.fill([tf.shape(images)[0]], float(self.threshold))
        return where(draws[:, 0] < self.probability, solarized(images, thresholds), images)


@operation("posterize")
class Posterize(Operation):
    """Keep only the `bits` most significant of 8 bits of each value of an image with `probability`."""

    bits: int = Field(default=4, ge=1, le=8)
    probability: Probability = 0.2

    def apply(self, images, draws, mean):
        bits = tf.fill([tf.shape(images)[0]], float(self.bits))
        return where(draws[:, 0] < self.probability, posterized(images, bits), images)


def brightened(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Apply ImageEnhance.Brightness with one factor per image (N,)."""
    return tf.cast(_blend(0.0, tf.cast(images, tf.float32), factors), tf.uint8)


def contrasted(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Apply ImageEnhance.Contrast with one factor per image (N,)."""
    values = tf.cast(images, tf.float32)
    return tf.cast(_blend(_mean_gray(values), values, factors), tf.uint8)


def saturated(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Apply ImageEnhance.Color with one factor per image (N,)."""
    if images.shape[-1] == 1:
        return images
    values = tf.cast(images, tf.float32)
    return tf.cast(_blend(gray(values), values, factors), tf.uint8)


def solarized(images: tf.Tensor, thresholds: tf.Tensor) -> tf.Tensor:
    """Apply ImageOps.solarize; thresholds (N,) in 0..256, rounded up, since values are integers."""
    return _inverted_from(images, tf.cast(tf.math.ceil(thresholds), tf.int32))


@compiled_in_chunks
def _inverted_from(images: tf.Tensor, thresholds: tf.Tensor) -> tf.Tensor:
    """Invert the values of images (N, H, W, C) that are at least the thresholds (N,), int32."""
    values = flat(images)
    return tf.reshape(
        tf.where(tf.cast(values, tf.int32) >= thresholds[:, None], 255 - values, values), tf.shape(images)
    )


def posterized(images: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Apply ImageOps.posterize; bits (N,) in 0..8, rounded down."""
    dropped = 8 - tf.cast(bits, tf.int32)
    mask = tf.cast(tf.bitwise.left_shift(255, dropped) % 256, tf.uint8)
    return tf.reshape(tf.bitwise.bitwise_and(flat(images), mask[:, None]), tf.shape(images))


def inverted(images: tf.Tensor) -> tf.Tensor:
    """Apply ImageOps.invert."""
    return 255 - images


def gray(values: tf.Tensor) -> tf.Tensor:
    """Return Pillow's luma of RGB values (..., 3), float32 integers 0..255, repeated in all three channels.

    Exact, since every sum is below 2**24 units of 2**-16; a GPU that multiplies in TF32 may be off by 1.
    """
    # One matrix for all three channels, as broadcasting one of them is slower.
    weights = tf.repeat(tf.constant(_LUMA)[:, None] / 65536, 3, axis=1)
    return tf.reshape(tf.floor(tf.matmul(tf.reshape(values, (-1, 3)), weights) + 0.5), tf.shape(values))


def shift_hue(values: tf.Tensor, turns: tf.Tensor) -> tf.Tensor:
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


def _blend(start, values: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Return start + factor * (values - start), clipped and truncated to integers 0..255, as Pillow's blend.

    start: a scalar, one value per image (N, 1), or a tensor of the shape of `values`.
    """
    if isinstance(start, tf.Tensor) and len(start.shape) == 4:
        start = flat(start)
    moved = start + (flat(values) - start) * factors[:, None]
    # The raw operation is one pass over the values; clip_by_value is two.
    moved = tf.raw_ops.ClipByValue(t=moved, clip_value_min=0.0, clip_value_max=255.0)
    return tf.reshape(tf.floor(moved), tf.shape(values))

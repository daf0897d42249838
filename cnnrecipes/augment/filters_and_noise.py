"""Filters, sharpness and Gaussian blur; and additive noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.augment.gather_and_select import to_uint8, where
from cnnrecipes.augment.operation import Operation, Probability, Range, operation

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")


@operation("sharpness")
class Sharpness(Operation):
    """Adjust the sharpness by a factor from 1 - amount to 1 + amount."""

    amount: float = Field(default=0.5, ge=0)

    def apply(self, images, draws, mean):
        return sharpened(images, tf.maximum(1 + (2 * draws[:, 0] - 1) * self.amount, 0.0))


@operation("blur")
class Blur(Operation):
    """Blur an image with `probability`, by a Gaussian with a random standard deviation."""

    draws = 2
    probability: Probability = 0.5
    sigma: Range = Field(default=(0.1, 2.0), description="standard deviation in pixels")

    def apply(self, images, draws, mean):
        low, high = self.sigma
        radius = min(math.ceil(3 * high), min(images.shape[1:3]) - 1)
        blurred = gaussian(images, low + (high - low) * draws[:, 1], radius)
        return where(draws[:, 0] < self.probability, blurred, images)


@operation("noise")
class Noise(Operation):
    """Add Gaussian noise with standard deviation `std` (on the scale 0..255) to every value."""

    draws = 2  # the seed of the noise
    std: float = Field(default=8.0, ge=0, le=255)

    def apply(self, images, draws, mean):
        def one(pair):
            image, seed = pair
            normal = tf.random.stateless_normal(image.shape, seed, alg="philox")
            return to_uint8(tf.cast(image, tf.float32) + self.std * normal)

        return tf.map_fn(one, (images, seeds(draws)), fn_output_signature=tf.TensorSpec(images.shape[1:], tf.uint8))


def sharpened(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Apply Pillow's ImageEnhance.Sharpness: blend with the 3x3 filter (1 1 1, 1 5 1, 1 1 1) / 13.

    factors: (N,), 1 for no change. Border pixels are unchanged.
    """
    values = tf.cast(images, tf.float32)
    rows = values[:, :-2] + values[:, 1:-1] + values[:, 2:]
    sums = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    inner = values[:, 1:-1, 1:-1]
    smooth = tf.round((sums + 4 * inner) / 13)
    moved = smooth + (inner - smooth) * tf.reshape(factors, (-1, 1, 1, 1))
    moved = tf.cast(tf.floor(tf.clip_by_value(moved, 0.0, 255.0)), tf.uint8)
    top_bottom = tf.concat([images[:, :1, 1:-1], moved, images[:, -1:, 1:-1]], 1)
    return tf.concat([images[:, :, :1], top_bottom, images[:, :, -1:]], 2)


def gaussian(images: tf.Tensor, sigmas: tf.Tensor, radius: int) -> tf.Tensor:
    """Blur each image with its own standard deviation in pixels (N,); kernel cut off at `radius`, borders reflected."""
    distances = tf.range(-radius, radius + 1, dtype=tf.float32)
    weights = tf.exp(-tf.square(distances / sigmas[:, None]) / 2)
    weights /= tf.reduce_sum(weights, 1, keepdims=True)
    height, width, channels = images.shape[1:]

    def one(pair):
        image, kernel = pair
        values = tf.pad(
            tf.cast(image[None], tf.float32), [[0, 0], [radius, radius], [radius, radius], [0, 0]], "REFLECT"
        )
        kernel = tf.tile(kernel[:, None, None, None], (1, 1, channels, 1))
        values = tf.nn.depthwise_conv2d(values, kernel, (1, 1, 1, 1), "VALID")
        values = tf.nn.depthwise_conv2d(values, tf.transpose(kernel, (1, 0, 2, 3)), (1, 1, 1, 1), "VALID")
        return to_uint8(values[0])

    signature = tf.TensorSpec((height, width, channels), tf.uint8)
    return tf.map_fn(one, (images, weights), fn_output_signature=signature)


def uniform_noise(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Return uniform noise 0..255, uint8, of the shape of the images; draws (N, 2) seed each image's noise."""

    def one(seed):
        values = tf.random.stateless_uniform(images.shape[1:], seed, 0, 256, tf.int32, alg="philox")
        return tf.cast(values, tf.uint8)

    return tf.map_fn(one, seeds(draws), fn_output_signature=tf.TensorSpec(images.shape[1:], tf.uint8))


def seeds(draws: tf.Tensor) -> tf.Tensor:
    """Convert draws (N, 2), multiples of 2**-24, to integer seeds for TensorFlow's stateless generators."""
    return tf.cast(draws * 2.0**24, tf.int32)

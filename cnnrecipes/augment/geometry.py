"""Geometric operations: flips, rotation, translation and shear."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.augment.affine import affine, rotation, shearing, translation
from cnnrecipes.augment.crop_flip_fusion import PixelMove
from cnnrecipes.augment.gather_and_select import fill_color
from cnnrecipes.augment.operation import Fill, Operation, Probability, operation

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")


@operation("flip_lr")
class FlipLR(PixelMove):
    """Flip an image horizontally with `probability`."""

    probability: Probability = 0.5

    def apply(self, images, draws, mean):
        return _reverse(images, draws[:, 0] < self.probability, axis=2)

    def move(self, rows, columns, draws):
        return rows, tf.where((draws[:, 0] < self.probability)[:, None], columns[:, ::-1], columns)


@operation("flip_ud")
class FlipUD(PixelMove):
    """Flip an image vertically with `probability`."""

    probability: Probability = 0.5

    def apply(self, images, draws, mean):
        return _reverse(images, draws[:, 0] < self.probability, axis=1)

    def move(self, rows, columns, draws):
        return tf.where((draws[:, 0] < self.probability)[:, None], rows[:, ::-1], rows), columns


@operation("alternating_flip_lr")
class AlternatingFlipLR(PixelMove):
    """Flip horizontally every second time that an image is shown; at first a random half (Jordan 2024, section 3.6)."""

    alternates = True

    def apply(self, images, draws, mean):
        return _reverse(images, draws[:, 0] < 0.5, axis=2)

    def move(self, rows, columns, draws):
        return rows, tf.where((draws[:, 0] < 0.5)[:, None], columns[:, ::-1], columns)


@operation("rotate")
class Rotate(Operation):
    """Rotate about the center by an angle from -degrees to degrees."""

    degrees: float = Field(default=15.0, ge=0, le=180)
    fill: Fill = "mean"

    def apply(self, images, draws, mean):
        angles = (2 * draws[:, 0] - 1) * self.degrees
        return affine(images, rotation(angles), fill_color(self.fill, mean))


@operation("translate")
class Translate(Operation):
    """Translate in x and in y by up to `share` of the width and the height."""

    draws = 2
    share: Probability = 0.1
    fill: Fill = "mean"

    def apply(self, images, draws, mean):
        height, width = images.shape[1:3]
        shift = (2 * draws - 1) * self.share * [width, height]
        return affine(images, translation(shift[:, 0], shift[:, 1]), fill_color(self.fill, mean))


@operation("shear")
class Shear(Operation):
    """Shear along x and along y, each by a slope from -slope to slope (pixels per pixel)."""

    draws = 2
    slope: Probability = 0.2
    fill: Fill = "mean"

    def apply(self, images, draws, mean):
        slope = (2 * draws - 1) * self.slope
        return affine(images, shearing(slope[:, 0], slope[:, 1]), fill_color(self.fill, mean))


def _reverse(images: tf.Tensor, chosen: tf.Tensor, axis: int) -> tf.Tensor:
    """Reverse the images (N,) that are `chosen` along an axis, and copy the others unchanged."""
    parts = tf.dynamic_partition(images, tf.cast(chosen, tf.int32), 2)
    places = tf.dynamic_partition(tf.range(tf.shape(images)[0]), tf.cast(chosen, tf.int32), 2)
    return tf.ensure_shape(tf.dynamic_stitch(places, [parts[0], tf.reverse(parts[1], [axis])]), images.shape)

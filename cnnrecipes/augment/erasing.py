"""Cutout and random erasing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.augment import boxes
from cnnrecipes.augment.crop_flip_fusion import BoxFill
from cnnrecipes.augment.filters_and_noise import uniform_noise
from cnnrecipes.augment.gather_and_select import fill_color
from cnnrecipes.augment.operation import Fill, FractionRange, Operation, Probability, Range, operation

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")


@operation("cutout")
class Cutout(BoxFill):
    """Fill a square of `size` pixels, centered at random and clipped at the border (DeVries & Taylor 2017)."""

    draws = 4  # the center, and the seed of the noise
    size: int = Field(default=8, ge=1)
    fill: Fill | Literal["noise"] = "mean"

    def apply(self, images, draws, mean):
        return _fill(images, self.box(draws, *images.shape[1:3]), self.fill, draws[:, 2:], mean)

    @property
    def box_fill(self):
        return None if self.fill == "noise" else self.fill

    def box(self, draws, height, width):
        top_left = tf.cast(draws[:, :2] * [height, width], tf.int32) - self.size // 2
        return (*tf.unstack(top_left, axis=1), *tf.unstack(top_left + self.size, axis=1))


@operation("random_erasing")
class RandomErasing(Operation):
    """Fill a box of random area and aspect ratio with `probability` (Zhong et al. 2017, algorithm 1).

    An image is returned unchanged if none of ten sampled boxes fits.
    """

    draws = boxes.DRAWS + 3  # apply or not, the box, and the seed of the noise
    probability: Probability = 0.25
    scale: FractionRange = Field(default=(0.02, 0.33), description="area of the box as a fraction of the image's")
    ratio: Range = Field(default=(0.3, 3.3), description="aspect ratio of the box, width / height")
    fill: Fill | Literal["noise"] = "mean"

    def apply(self, images, draws, mean):
        height, width = images.shape[1:3]
        top, left, rows, columns, found = boxes.choose_box(draws[:, 1:23], height, width, self.scale, self.ratio)
        erased = (draws[:, 0] < self.probability) & found
        bottom = tf.where(erased, top + rows, top)
        return _fill(images, (top, left, bottom, left + columns), self.fill, draws[:, 23:], mean)


def _fill(images: tf.Tensor, box: tuple[tf.Tensor, ...], fill: str | int, seeds: tf.Tensor, mean) -> tf.Tensor:
    color = uniform_noise(images, seeds) if fill == "noise" else fill_color(fill, mean)
    return tf.where(boxes.box_mask(*images.shape[1:3], *box), color, images)

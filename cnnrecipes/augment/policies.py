"""Augmentation policies: RandAugment, TrivialAugment, AutoAugment and AugMix.

The search spaces and magnitudes are those of torchvision (transforms/autoaugment.py), for AugMix those of its authors
(google-research/augmix). Unlike there, shear and rotation are about the center, with bilinear interpolation.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.augment.mixing import beta
from cnnrecipes.augment.operation import Fill, Operation, operation
from cnnrecipes.augment.pixel_ops import fill_color, to_uint8
from cnnrecipes.augment.policy_ops import KINDS, Space, transform

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")

_RAND = Space(shear=0.3, translate=150 / 331, rotate=30, color=0.9, bits=(8, 4))
_WIDE = Space(shear=0.99, translate=32, rotate=135, color=0.99, bits=(8, 2), relative=False)
_MILD = Space(shear=0.3, translate=1 / 3, rotate=30, color=0, bits=(4, 0))
_RAND_KINDS = tuple(kind for kind in KINDS if kind != "invert")
_MILD_KINDS = (
    *("shear_x", "shear_y", "translate_x", "translate_y", "rotate"),
    *("posterize", "solarize", "autocontrast", "equalize"),
)

# Sub-policies of two steps each: transformation, probability, level 0..9 (Cubuk et al. 2018, table 9 and table 7).
_IMAGENET = """
posterize .4 8, rotate .6 9        | solarize .6 5, autocontrast .6 0  | equalize .8 0, equalize .6 0
posterize .6 7, posterize .6 6     | equalize .4 0, solarize .2 4      | equalize .4 0, rotate .8 8
solarize .6 3, equalize .6 0       | posterize .8 5, equalize 1 0      | rotate .2 3, solarize .6 8
equalize .6 0, posterize .4 6      | rotate .8 8, saturation .4 0      | rotate .4 9, equalize .6 0
equalize 0 0, equalize .8 0        | invert .6 0, equalize 1 0         | saturation .6 4, contrast 1 8
rotate .8 8, saturation 1 2        | saturation .8 8, solarize .8 7    | sharpness .4 7, invert .6 0
shear_x .6 5, equalize 1 0         | saturation .4 0, equalize .6 0    | equalize .4 0, solarize .2 4
solarize .6 5, autocontrast .6 0   | invert .6 0, equalize 1 0         | saturation .6 4, contrast 1 8
equalize .8 0, equalize .6 0
"""
_CIFAR10 = """
invert .1 0, contrast .2 6         | rotate .7 2, translate_x .3 9     | sharpness .8 1, sharpness .9 3
shear_y .5 8, translate_y .7 9     | autocontrast .5 0, equalize .9 0  | shear_y .2 7, posterize .3 7
saturation .4 3, brightness .6 7   | sharpness .3 9, brightness .7 9   | equalize .6 0, equalize .5 0
contrast .6 7, sharpness .6 5      | saturation .7 7, translate_x .5 8 | equalize .3 0, autocontrast .4 0
translate_y .4 3, sharpness .2 6   | brightness .9 6, saturation .2 8  | solarize .5 2, invert 0 0
equalize .2 0, autocontrast .6 0   | equalize .2 0, equalize .6 0      | saturation .9 9, equalize .6 0
autocontrast .8 0, solarize .2 8   | brightness .1 3, saturation .7 0  | solarize .4 5, autocontrast .9 0
translate_y .9 9, translate_y .7 9 | autocontrast .9 0, solarize .8 3  | equalize .8 0, invert .1 0
translate_y .7 9, autocontrast .9 0
"""


@operation("rand_augment")
class RandAugment(Operation):
    """Apply `ops` random transformations of one magnitude, 0..30 (Cubuk et al. 2019, "RandAugment")."""

    ops: int = Field(default=2, ge=1, le=8)
    magnitude: int = Field(default=9, ge=0, le=30)
    fill: Fill = "mean"

    @property
    def draws(self):  # type: ignore[override]  # depends on the fields
        return 2 * self.ops  # for each the kind and the sign

    def apply(self, images, draws, mean):
        levels = tf.fill([tf.shape(images)[0]], self.magnitude / 30)
        for step in range(self.ops):
            kinds = _choose(_RAND_KINDS, draws[:, 2 * step])
            images = _transform(images, _RAND, kinds, levels, draws[:, 2 * step + 1], fill_color(self.fill, mean))
        return images


@operation("trivial_augment")
class TrivialAugment(Operation):
    """Apply one random transformation of a random magnitude (Müller & Hutter 2021, "TrivialAugment", wide space)."""

    draws = 3  # the kind, one of 31 levels, and the sign
    fill: Fill = "mean"

    def apply(self, images, draws, mean):
        levels = tf.floor(draws[:, 1] * 31) / 30
        kinds = _choose(_RAND_KINDS, draws[:, 0])
        return _transform(images, _WIDE, kinds, levels, draws[:, 2], fill_color(self.fill, mean))


@operation("auto_augment")
class AutoAugment(Operation):
    """Apply one of a learned policy's 25 pairs of transformations (Cubuk et al. 2018, tables 7 and 9)."""

    draws = 5  # the pair; apply or not, for both; the signs
    policy: Literal["cifar10", "imagenet"] = "imagenet"
    fill: Fill = "mean"

    def apply(self, images, draws, mean):
        policy = _read(_IMAGENET if self.policy == "imagenet" else _CIFAR10)
        chosen = tf.gather(tf.constant(policy), tf.cast(draws[:, 0] * len(policy), tf.int32))
        for step in range(2):
            kinds, probability, levels = tf.unstack(chosen[:, step], axis=1)
            kinds = tf.where(draws[:, 1 + step] < probability, tf.cast(kinds, tf.int32), 0)
            images = _transform(images, _RAND, kinds, levels / 9, draws[:, 3 + step], fill_color(self.fill, mean))
        return images


@operation("aug_mix")
class AugMix(Operation):
    """Mix an image with `width` chains of 1 to `depth` transformations (Hendrycks et al. 2019, "AugMix", algorithm 1).

    The image is mixed by Beta(alpha, alpha) with the mean of its chains, weighted by Dirichlet(alpha); rounded once.
    """

    severity: int = Field(default=3, ge=1, le=10)
    width: int = Field(default=3, ge=1, le=6)
    depth: int = Field(default=3, ge=1, le=6)
    alpha: float = Field(default=1.0, gt=0)
    fill: Fill = "mean"

    @property
    def draws(self):  # type: ignore[override]  # depends on the fields
        return 2 * self.width + 3 * self.width * self.depth  # chain lengths, weights, and three per step

    def apply(self, images, draws, mean):
        lengths, weights, steps = tf.split(draws, [self.width, self.width, 3 * self.width * self.depth], axis=1)
        own = beta(weights[:, 0], self.alpha, self.alpha)
        left, chains, shares = 1 - own, [images], [own]
        for number in range(self.width):
            first = 3 * number * self.depth
            chain_steps = steps[:, first : first + 3 * self.depth]
            chains.append(self._chain(images, lengths[:, number], chain_steps, fill_color(self.fill, mean)))
            # Stick-breaking for the Dirichlet weights: the first of k chains takes Beta(alpha, (k - 1) alpha) of the
            # rest.
            rest = self.width - number - 1
            share = left * beta(weights[:, number + 1], self.alpha, self.alpha * rest) if rest else left
            shares.append(share)
            left -= share
        return _weighted_sum(chains, shares)

    def _chain(self, images: tf.Tensor, length: tf.Tensor, draws: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
        """Apply a chain of transformations; `draws` has kind, level and sign of each step, `length` is (N,)."""
        for step in range(self.depth):
            kind, level, sign = tf.unstack(draws[:, 3 * step : 3 * step + 3], axis=1)
            kinds = tf.where(length * self.depth >= step, _choose(_MILD_KINDS, kind), 0)
            levels = (0.1 + (self.severity - 0.1) * level) / 10
            images = _transform(images, _MILD, kinds, levels, sign, fill)
        return images


def _weighted_sum(images: list[tf.Tensor], shares: list[tf.Tensor]) -> tf.Tensor:
    """Return the weighted sum of images (N, H, W, C) with weights (N,), as uint8.

    One matrix product, since its order of additions is fixed. TensorFlow fuses a chain of `+` into AddN, which starts
    with whichever buffer is free: the last bit, and with it the rounding, would not be deterministic.
    """
    size = math.prod(images[0].shape[1:])
    values = tf.cast(tf.stack([tf.reshape(each, (-1, size)) for each in images], 1), tf.float32)
    total = tf.matmul(tf.stack(shares, 1)[:, None], values)
    return to_uint8(tf.reshape(total, tf.shape(images[0])))


def _transform(images, space: Space, kinds, levels, signs, fill) -> tf.Tensor:
    return transform(images, kinds, space.magnitudes(kinds, levels, signs, *images.shape[1:3]), fill)


def _choose(kinds: tuple[str, ...], draw: tf.Tensor) -> tf.Tensor:
    """Draw one of `kinds` for each image, as an index into KINDS."""
    positions = tf.constant([KINDS.index(kind) for kind in kinds])
    return tf.gather(positions, tf.cast(draw * len(kinds), tf.int32))


def _read(policy: str) -> list[list[list[float]]]:
    """Parse a policy table into sub-policies of two steps (index into KINDS, probability, level)."""
    pairs = [pair.split(",") for line in policy.split("\n") for pair in line.split("|") if pair.strip()]
    return [[[KINDS.index(kind), float(p), float(level)] for kind, p, level in map(str.split, pair)] for pair in pairs]

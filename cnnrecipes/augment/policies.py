"""Augmentation policies: RandAugment, TrivialAugment, AutoAugment and AugMix.

The search spaces and magnitudes are those of torchvision (transforms/autoaugment.py), for AugMix those of its authors
(google-research/augmix). Unlike there, shear and rotation are about the center, with bilinear interpolation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.augment.gather_and_select import fill_color, flat
from cnnrecipes.augment.mixing import beta
from cnnrecipes.augment.operation import Fill, Operation, operation
from cnnrecipes.augment.policy_chains import transform_in_chains
from cnnrecipes.augment.policy_ops import KINDS, Space, transform
from cnnrecipes.augment.xla_compilation import compiled

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

    The image is mixed by Beta(alpha, alpha) with the mean of its chains, weighted by Dirichlet(alpha). Consecutive
    geometric transformations of a chain are composed and interpolated once.
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
        # All chains in one batch: the first chain of every image, then the second of every image, and so on.
        steps = tf.reshape(steps, (-1, self.width, self.depth, 3))
        steps = tf.reshape(tf.transpose(steps, (1, 0, 2, 3)), (-1, self.depth, 3))
        lengths = tf.reshape(tf.transpose(lengths), (-1, 1)) * self.depth
        kinds = tf.where(lengths >= tf.range(self.depth, dtype=tf.float32), _choose(_MILD_KINDS, steps[..., 0]), 0)
        levels = (0.1 + (self.severity - 0.1) * steps[..., 1]) / 10
        magnitudes = [
            _MILD.magnitudes(kinds[:, step], levels[:, step], steps[:, step, 2], *images.shape[1:3])
            for step in range(self.depth)
        ]
        copies = tf.concat([images] * self.width, 0)
        fill = fill_color(self.fill, mean)
        chains = transform_in_chains(copies, kinds, tf.stack(magnitudes, 1), fill, _MILD_KINDS)
        return _weighted_sum(images, chains, self._shares(weights))

    def _shares(self, draws: tf.Tensor) -> tf.Tensor:
        """Return the weights of the chains (N, width); what they leave of 1 is the weight of the image itself."""
        left, shares = 1 - beta(draws[:, 0], self.alpha, self.alpha), []
        for number in range(self.width):
            # Stick-breaking for the Dirichlet weights: the first of k chains takes Beta(alpha, (k - 1) alpha) of the
            # rest.
            rest = self.width - number - 1
            share = left * beta(draws[:, number + 1], self.alpha, self.alpha * rest) if rest else left
            shares.append(share)
            left -= share
        return tf.stack(shares, 1)


def _weighted_sum(images: tf.Tensor, chains: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
    """Return the weighted mean of images (N, H, W, C) and their chains (width * N, H, W, C), as uint8.

    The weights of the chains (N, width) are rounded to 2**-16; the image has what they leave of 1.
    """
    return _mixed(images, chains, tf.cast(tf.round(shares * 2**16), tf.int32))


@compiled
def _mixed(images: tf.Tensor, chains: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
    own = 2**16 - tf.reduce_sum(shares, 1)
    each = tf.split(chains, shares.shape[1])
    total = tf.cast(flat(images), tf.int32) * own[:, None] + 2**15
    for number, chain in enumerate(each):
        total += tf.cast(flat(chain), tf.int32) * shares[:, number, None]
    return tf.reshape(tf.cast(tf.bitwise.right_shift(total, 16), tf.uint8), tf.shape(images))


def _transform(images, space: Space, kinds, levels, signs, fill) -> tf.Tensor:
    return transform(images, kinds, space.magnitudes(kinds, levels, signs, *images.shape[1:3]), fill)


def _choose(kinds: tuple[str, ...], draw: tf.Tensor) -> tf.Tensor:
    """Return a random transformation of `kinds` for each image: (N,) indices into KINDS.

    Args:
        draw: (N,), uniform in [0, 1).
    """
    positions = tf.constant([KINDS.index(kind) for kind in kinds])
    return tf.gather(positions, tf.cast(draw * len(kinds), tf.int32))


def _read(policy: str) -> list[list[list[float]]]:
    """Parse a policy table into sub-policies of two steps (index into KINDS, probability, level)."""
    pairs = [pair.split(",") for line in policy.split("\n") for pair in line.split("|") if pair.strip()]
    return [[[KINDS.index(kind), float(p), float(level)] for kind, p, level in map(str.split, pair)] for pair in pairs]

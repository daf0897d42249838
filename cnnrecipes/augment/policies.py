"""Augmentation policies: RandAugment, TrivialAugment, AutoAugment and AugMix.

The search spaces and magnitudes are those of torchvision (transforms/autoaugment.py), for AugMix those of its authors
(google-research/augmix). Unlike there, shear and rotation are about the centre, with bilinear interpolation.
"""

from __future__ import annotations

import math

import tensorflow as tf

from cnnrecipes.augment import operations
from cnnrecipes.augment.geometry import fill_colour, to_uint8
from cnnrecipes.augment.mixing import beta
from cnnrecipes.augment.policy_ops import KINDS, Space, transform

_RAND = Space(shear=0.3, translate=150 / 331, rotate=30, colour=0.9, bits=(8, 4))
_WIDE = Space(shear=0.99, translate=32, rotate=135, colour=0.99, bits=(8, 2), relative=False)
_MILD = Space(shear=0.3, translate=1 / 3, rotate=30, colour=0, bits=(4, 0))
_RAND_KINDS = tuple(kind for kind in KINDS if kind != "invert")
_MILD_KINDS = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate", *KINDS[10:14])

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


def rand_augment(images: tf.Tensor, draws: tf.Tensor, op: operations.RandAugment, mean) -> tf.Tensor:
    """Apply `op.ops` random transformations in sequence; draws (N, 2 ops): for each the kind and the sign."""
    levels = tf.fill([tf.shape(images)[0]], op.magnitude / 30)
    for step in range(op.ops):
        kinds = _pick(_RAND_KINDS, draws[:, 2 * step])
        images = _apply(images, _RAND, kinds, levels, draws[:, 2 * step + 1], op, mean)
    return images


def rand_augment_draws(op: operations.RandAugment) -> int:
    """Return the number of draws per image of `rand_augment`."""
    return 2 * op.ops


def trivial_augment(images: tf.Tensor, draws: tf.Tensor, op: operations.TrivialAugment, mean) -> tf.Tensor:
    """Apply one random transformation; draws (N, 3): the kind, one of 31 levels, and the sign."""
    levels = tf.floor(draws[:, 1] * 31) / 30
    return _apply(images, _WIDE, _pick(_RAND_KINDS, draws[:, 0]), levels, draws[:, 2], op, mean)


def auto_augment(images: tf.Tensor, draws: tf.Tensor, op: operations.AutoAugment, mean) -> tf.Tensor:
    """Apply one sub-policy; draws (N, 5): the sub-policy, then for the two steps apply or not, then their signs."""
    policy = _read(_IMAGENET if op.policy == "imagenet" else _CIFAR10)
    chosen = tf.gather(tf.constant(policy), tf.cast(draws[:, 0] * len(policy), tf.int32))
    for step in range(2):
        kinds, probability, levels = tf.unstack(chosen[:, step], axis=1)
        kinds = tf.where(draws[:, 1 + step] < probability, tf.cast(kinds, tf.int32), 0)
        images = _apply(images, _RAND, kinds, levels / 9, draws[:, 3 + step], op, mean)
    return images


def aug_mix(images: tf.Tensor, draws: tf.Tensor, op: operations.AugMix, mean) -> tf.Tensor:
    """Mix the image by Beta(alpha, alpha) with a Dirichlet(alpha)-weighted mean of augmentation chains; round once."""
    lengths, weights, steps = tf.split(draws, [op.width, op.width, 3 * op.width * op.depth], axis=1)
    own = beta(weights[:, 0], op.alpha, op.alpha)
    left, chains, shares = 1 - own, [images], [own]
    for number in range(op.width):
        chain = images
        for step in range(op.depth):
            at = 3 * (number * op.depth + step)
            goes_on = lengths[:, number] * op.depth >= step
            kinds = tf.where(goes_on, _pick(_MILD_KINDS, steps[:, at]), 0)
            levels = (0.1 + (op.severity - 0.1) * steps[:, at + 1]) / 10
            chain = _apply(chain, _MILD, kinds, levels, steps[:, at + 2], op, mean)
        # Stick-breaking for the Dirichlet weights: the first of k chains takes Beta(alpha, (k - 1) alpha) of the rest.
        rest = op.width - number - 1
        share = left * beta(weights[:, number + 1], op.alpha, op.alpha * rest) if rest else left
        chains.append(chain)
        shares.append(share)
        left -= share
    return _weighted_sum(chains, shares)


def aug_mix_draws(op: operations.AugMix) -> int:
    """Return the number of draws per image of `aug_mix`: chain lengths, weights, and three per step."""
    return 2 * op.width + 3 * op.width * op.depth


def _weighted_sum(images: list[tf.Tensor], shares: list[tf.Tensor]) -> tf.Tensor:
    """Return the weighted sum of images (N, H, W, C) with weights (N,), as uint8.

    One matrix product, since its order of additions is fixed. TensorFlow fuses a chain of `+` into AddN, which starts
    with whichever buffer is free: the last bit, and with it the rounding, would not be deterministic.
    """
    size = math.prod(images[0].shape[1:])
    values = tf.cast(tf.stack([tf.reshape(each, (-1, size)) for each in images], 1), tf.float32)
    total = tf.matmul(tf.stack(shares, 1)[:, None], values)
    return to_uint8(tf.reshape(total, tf.shape(images[0])))


def _apply(images, space: Space, kinds, levels, signs, op, mean):
    magnitudes = space.magnitudes(kinds, levels, signs, *images.shape[1:3])
    return transform(images, kinds, magnitudes, fill_colour(op.fill, mean))


def _pick(kinds: tuple[str, ...], draw: tf.Tensor) -> tf.Tensor:
    """Draw one of these kinds for each image, as an index into KINDS."""
    positions = tf.constant([KINDS.index(kind) for kind in kinds])
    return tf.gather(positions, tf.cast(draw * len(kinds), tf.int32))


def _read(policy: str) -> list[list[list[float]]]:
    """Parse a policy table into sub-policies of two steps (index into KINDS, probability, level)."""
    pairs = [pair.split(",") for line in policy.split("\n") for pair in line.split("|") if pair.strip()]
    return [[[KINDS.index(kind), float(p), float(level)] for kind, p, level in map(str.split, pair)] for pair in pairs]

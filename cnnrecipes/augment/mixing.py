"""MixUp and CutMix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.augment.boxes import box_mask
from cnnrecipes.augment.gather_and_select import to_uint8, where
from cnnrecipes.augment.operation import Mix, operation

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")

DRAWS = 4  # the operation, the weight, and two for `Mix.mix`


@operation("mixup")
class MixUp(Mix):
    """Weighted mean of two images and of their labels (Zhang et al. 2017, "mixup")."""

    alpha: float = Field(default=0.2, gt=0)

    def mix(self, images, others, weights, draws):
        share = tf.reshape(weights, (-1, 1, 1, 1))
        return to_uint8(tf.cast(images, tf.float32) * share + tf.cast(others, tf.float32) * (1 - share)), weights


@operation("cutmix")
class CutMix(Mix):
    """Paste a box of another image, and weight its label by the box's area (Yun et al. 2019, "CutMix", section 3.1).

    The box has the aspect ratio of the image, is centered at random and clipped at the border; the label's weight is
    counted in pixels, after clipping.
    """

    def mix(self, images, others, weights, draws):
        height, width = images.shape[1:3]
        side = tf.sqrt(1 - weights)[:, None] * [float(height), float(width)]
        center = tf.floor(draws * [float(height), float(width)])
        limits = tf.constant([height, width])
        start = tf.clip_by_value(tf.cast(tf.floor(center - side / 2), tf.int32), 0, limits)
        stop = tf.clip_by_value(tf.cast(tf.floor(center + side / 2), tf.int32), 0, limits)
        mask = box_mask(height, width, start[:, 0], start[:, 1], stop[:, 0], stop[:, 1])
        covered = tf.reduce_prod(tf.cast(stop - start, tf.float32), 1)
        return tf.where(mask, others, images), 1 - covered / (height * width)


def mix(images: tf.Tensor, labels: tf.Tensor, draws: tf.Tensor, ops: Sequence[Mix]) -> tuple[tf.Tensor, tf.Tensor]:
    """Mix neighboring images and their labels; each image draws one of the operations.

    Args:
        images: (N, H, W, C), uint8.
        labels: (N, classes), float32.
        draws: (N, 4), float32, uniform in [0, 1): the operation, the weight, and two for the operation.
        ops: the mixing operations of a recipe.

    Returns:
        mixed images (N, H, W, C), uint8, and soft labels (N, classes).
    """
    partner = tf.constant(partners(images.shape[0]))
    others, other_labels = tf.gather(images, partner), tf.gather(labels, partner)
    chosen = tf.cast(draws[:, 0] * len(ops), tf.int32)
    mixed, mixed_labels = images, labels
    for number, op in enumerate(ops):
        result, share = op.mix(images, others, beta(draws[:, 1], op.alpha, op.alpha), draws[:, 2:])
        soft = labels * share[:, None] + other_labels * (1 - share[:, None])
        mixed = where(chosen == number, result, mixed)
        mixed_labels = where(chosen == number, soft, mixed_labels)
    return mixed, mixed_labels


def partners(n: int) -> list[int]:
    """Return the mixing partner of each of n images: 0 and 1, 2 and 3, ...; the last three of an odd n cyclically.

    The result is a permutation without fixed points, except for n = 1.
    """
    pairs = [i ^ 1 for i in range(n)]
    if n % 2:
        pairs[-3:] = [n - 2, n - 1, n - 3] if n > 1 else [0]
    return pairs


def beta(draws: tf.Tensor, a: float, b: float) -> tf.Tensor:
    """Sample Beta(a, b) from uniform draws by inverting its distribution function (bisection, to within 2**-24)."""
    low, high = tf.zeros_like(draws), tf.ones_like(draws)
    for _ in range(24):
        middle = (low + high) / 2
        below = tf.math.betainc(tf.fill(tf.shape(draws), a), tf.fill(tf.shape(draws), b), middle) < draws
        low, high = tf.where(below, middle, low), tf.where(below, high, middle)
    return (low + high) / 2

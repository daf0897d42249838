"""MixUp and CutMix."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from cnnrecipes.augment import operations
from cnnrecipes.augment.erase import box_mask
from cnnrecipes.augment.geometry import to_uint8, where


def mix(images: tf.Tensor, labels: tf.Tensor, draws: tf.Tensor, kinds: Sequence[operations.Mix]):
    """Mix neighbouring images and their labels; each image draws one of `kinds`.

    Args:
        images: (N, H, W, C), uint8.
        labels: (N, classes), float32.
        draws: (N, 4): the kind, the mixing ratio, and the centre of the CutMix box.
        kinds: MixUp and CutMix operations.

    Returns:
        mixed images (N, H, W, C), uint8, and soft labels (N, classes).
    """
    partner = tf.constant(partners(images.shape[0]))
    others, other_labels = tf.gather(images, partner), tf.gather(labels, partner)
    chosen = tf.cast(draws[:, 0] * len(kinds), tf.int32)
    mixed, mixed_labels = images, labels
    for number, kind in enumerate(kinds):
        share = beta(draws[:, 1], kind.alpha, kind.alpha)
        if isinstance(kind, operations.MixUp):
            result = mixup(images, others, share)
        else:
            result, share = cutmix(images, others, share, draws[:, 2:])
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


def mixup(images: tf.Tensor, others: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Return share * image + (1 - share) * other, rounded to uint8; share: (N,)."""
    share = tf.reshape(share, (-1, 1, 1, 1))
    return to_uint8(tf.cast(images, tf.float32) * share + tf.cast(others, tf.float32) * (1 - share))


def cutmix(images: tf.Tensor, others: tf.Tensor, share: tf.Tensor, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Paste a box of the other image, of the image's aspect ratio, centred at random and clipped at the border.

    Args:
        images, others: (N, H, W, C), uint8.
        share: (N,), the share of the image's area to keep, before clipping.
        draws: (N, 2), the centre of the box.

    Returns:
        the images, and the share (N,) of each that is its own after clipping, counted in pixels.
    """
    height, width = images.shape[1:3]
    side = tf.sqrt(1 - share)[:, None] * [float(height), float(width)]
    centre = tf.floor(draws * [float(height), float(width)])
    limits = tf.constant([height, width])
    start = tf.clip_by_value(tf.cast(tf.floor(centre - side / 2), tf.int32), 0, limits)
    stop = tf.clip_by_value(tf.cast(tf.floor(centre + side / 2), tf.int32), 0, limits)
    mask = box_mask(height, width, start[:, 0], start[:, 1], stop[:, 0], stop[:, 1])
    covered = tf.reduce_prod(tf.cast(stop - start, tf.float32), 1)
    return tf.where(mask, others, images), 1 - covered / (height * width)


def beta(draws: tf.Tensor, a: float, b: float) -> tf.Tensor:
    """Sample Beta(a, b) from uniform draws by inverting its distribution function (bisection, to within 2**-24)."""
    low, high = tf.zeros_like(draws), tf.ones_like(draws)
    for _ in range(24):
        middle = (low + high) / 2
        below = tf.math.betainc(tf.fill(tf.shape(draws), a), tf.fill(tf.shape(draws), b), middle) < draws
        low, high = tf.where(below, middle, low), tf.where(below, high, middle)
    return (low + high) / 2

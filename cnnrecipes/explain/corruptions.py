"""Twelve corruptions of images at five strengths, after ImageNet-C (Hendrycks and Dietterich 2019, appendix B).

The strengths are those of ImageNet-C for images of 224 pixels. Lengths in pixels (radii of blurs) are scaled by the
shorter side of the image. Brightness, contrast, noises, blurs, JPEG and pixelate follow ImageNet-C, without its weather
(snow, frost, fog), elastic transforms and glass blur; saturation here fades the colors, and motion blur is symmetric.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from cnnrecipes.augment.color import contrasted, saturated
from cnnrecipes.augment.filters_and_noise import gaussian
from cnnrecipes.errors import DataError, UnknownNameError

STRENGTHS = (1, 2, 3, 4, 5)
_SIDE = 224  # pixels of the images for which lengths are given
_LEAST_SIDE = 32  # pixels below which lengths are not scaled further: they would be fractions of a pixel
_LEAST_SIGMA = (
    0.35  # pixels, added to the standard deviation of a blur (squares): for 32 pixels 0.4 to 0.9, as CIFAR-10-C
)

Rngs = Sequence[np.random.Generator]  # one for each image


@dataclass(frozen=True)
class _Corruption:
    apply: Callable[[np.ndarray, Any, Rngs], Any]
    amounts: tuple[Any, ...]  # of each strength


_ROWS: dict[str, _Corruption] = {}


def _corruption(name: str, *amounts: Any):
    def register(function: Callable[[np.ndarray, Any, Rngs], Any]):
        _ROWS[name] = _Corruption(function, amounts)
        return function

    return register


def corrupt(
    images: np.ndarray, corruption: str, strength: int, *, seed: int = 0, indices: Sequence[int] | None = None
) -> np.ndarray:
    """Return corrupted images, (N, H, W, C) uint8, 0..255.

    Args:
        images: (N, H, W, C) uint8, 0..255; C is 1 or 3.
        corruption: one of CORRUPTIONS.
        strength: 1 (weak) to 5.
        seed: of the random numbers. Those of an image are the same for all strengths, and depend on nothing but `seed`,
            `corruption` and its index.
        indices: (N,) integers that identify the images; None: 0, 1, and so on.

    Raises:
        UnknownNameError: no such corruption.
        DataError: another strength.
    """
    if corruption not in _ROWS:
        raise UnknownNameError("corruption", corruption, _ROWS)
    if strength not in STRENGTHS:
        raise DataError(f"strength is {strength!r}; give 1, 2, 3, 4 or 5")
    numbers = range(len(images)) if indices is None else indices
    rngs = [np.random.default_rng([seed, int(number), zlib.crc32(corruption.encode())]) for number in numbers]
    row = _ROWS[corruption]
    changed = np.asarray(row.apply(images, row.amounts[strength - 1], rngs))
    return changed if changed.dtype == np.uint8 else np.clip(np.rint(changed), 0, 255).astype(np.uint8)


@_corruption("gaussian_noise", 0.08, 0.12, 0.18, 0.26, 0.38)
def _gaussian_noise(images, deviation, rngs):
    normal = np.stack([rng.standard_normal(images.shape[1:], np.float32) for rng in rngs])
    return images + 255 * deviation * normal


@_corruption("shot_noise", 60, 25, 12, 5, 3)
def _shot_noise(images, photons, rngs):
    rates = images / 255 * photons
    return np.stack([rng.poisson(rate) for rate, rng in zip(rates, rngs, strict=True)]) / photons * 255


@_corruption("impulse_noise", 0.03, 0.06, 0.09, 0.17, 0.27)
def _impulse_noise(images, share, rngs):
    draws = np.stack([rng.random(images.shape[1:], np.float32) for rng in rngs])
    return np.where(draws < share / 2, 0, np.where(draws > 1 - share / 2, 255, images)).astype(np.uint8)


@_corruption("defocus_blur", 3, 4, 6, 8, 10)
def _defocus_blur(images, radius, rngs):
    x, y, length = _grid(images, radius, reach=1.0)
    disk = np.clip(length + 0.5 - np.hypot(x, y), 0, 1)  # with the share of a pixel at its border
    return _filtered(images, [disk] * len(images))


@_corruption("motion_blur", 3, 5, 8, 12, 15)
def _motion_blur(images, deviation, rngs):
    x, y, length = _grid(images, deviation, reach=2.0)
    kernels = []
    for rng in rngs:
        angle = math.radians(rng.uniform(-45, 45))
        along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        kernels.append(np.exp(-(along**2) / (2 * length**2)) * np.clip(1 - np.abs(across), 0, 1))
    return _filtered(images, kernels)


@_corruption("zoom_blur", 1.11, 1.16, 1.21, 1.26, 1.33)
def _zoom_blur(images, largest, rngs):
    """Average the image and ten enlargements of its center."""
    total, steps = images.astype(np.float32), 10
    for zoom in np.linspace(1, largest, steps + 1)[1:]:
        margin = (1 - 1 / zoom) / 2
        boxes = [[margin, margin, 1 - margin, 1 - margin]] * len(images)
        total = total + tf.image.crop_and_resize(images, boxes, list(range(len(images))), images.shape[1:3]).numpy()
    return total / (steps + 1)


@_corruption("gaussian_blur", 1, 2, 3, 4, 6)
def _gaussian_blur(images, deviation, rngs):
    sigma = math.hypot(deviation * _scale(images), _LEAST_SIGMA)
    radius = min(math.ceil(3 * sigma), min(images.shape[1:3]) - 1)
    return gaussian(tf.constant(images), tf.fill([len(images)], np.float32(sigma)), radius).numpy()


@_corruption("brightness", 0.1, 0.2, 0.3, 0.4, 0.5)
def _brightness(images, added, rngs):
    """Raise the value of HSV, the largest of the channels; black becomes gray."""
    value = images.max(axis=-1, keepdims=True) / 255
    raised = np.minimum(value + added, 1)
    return np.where(value > 0, images * (raised / np.maximum(value, 1e-9)), 255 * raised)


@_corruption("contrast", 0.4, 0.3, 0.2, 0.1, 0.05)
def _contrast(images, factor, rngs):
    return contrasted(tf.constant(images), tf.fill([len(images)], np.float32(factor))).numpy()


@_corruption("saturation", 0.7, 0.5, 0.3, 0.15, 0.0)
def _saturation(images, factor, rngs):
    return saturated(tf.constant(images), tf.fill([len(images)], np.float32(factor))).numpy()


@_corruption("jpeg", 25, 18, 15, 10, 7)
def _jpeg(images, quality, rngs):
    encoded = (tf.io.encode_jpeg(image, quality=quality) for image in images)
    return np.stack([tf.io.decode_jpeg(one, channels=images.shape[-1]).numpy() for one in encoded])


@_corruption("pixelate", 0.6, 0.5, 0.4, 0.3, 0.25)
def _pixelate(images, share, rngs):
    height, width = images.shape[1:3]
    small = tf.image.resize(images, (max(round(height * share), 1), max(round(width * share), 1)), "area")
    return tf.image.resize(small, (height, width), "nearest").numpy()


CORRUPTIONS = tuple(_ROWS)


def _scale(images: np.ndarray) -> float:
    """Return the factor of lengths in pixels."""
    return max(min(images.shape[1:3]), _LEAST_SIDE) / _SIDE


def _grid(images: np.ndarray, length: float, reach: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return coordinates x and y (K, K) of a kernel, and a length scaled to the images.

    The kernel reaches `reach` times the length, plus one pixel, and at most as far as the image allows.
    """
    scaled = length * _scale(images)
    radius = min(math.ceil(reach * scaled) + 1, min(images.shape[1:3]) - 1)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32)
    return x, y, scaled


def _filtered(images: np.ndarray, kernels: Sequence[np.ndarray]) -> np.ndarray:
    """Return images convolved with a kernel (K, K) each, of which the values are divided by their sum; float32."""
    radius, channels = kernels[0].shape[0] // 2, images.shape[-1]
    padded = np.pad(images, [(0, 0), (radius, radius), (radius, radius), (0, 0)], mode="reflect").astype(np.float32)
    found = []
    for image, kernel in zip(padded, kernels, strict=True):
        weights = np.repeat((kernel / kernel.sum()).astype(np.float32)[..., None, None], channels, axis=2)
        found.append(tf.nn.depthwise_conv2d(image[None], weights, (1, 1, 1, 1), "VALID").numpy()[0])
    return np.stack(found)

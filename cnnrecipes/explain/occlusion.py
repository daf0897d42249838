"""Occlusion maps: how much the probability of a class falls when a patch is covered (Zeiler and Fergus 2014)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from scipy.special import softmax

from cnnrecipes.errors import DataError
from cnnrecipes.explain.examined import BATCH, Examined
from cnnrecipes.explain.image_geometry import in_images
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.trained_model import Artifact

_SHARE = 5  # the default patch is a fifth of the shorter side, as 50 of 224 pixels in the paper


def occlusion(
    subject: Run | Artifact | keras.Model,
    images: Any,
    classes: int | str | Sequence[int | str] | None = None,
    *,
    patch: int | None = None,
    stride: int | None = None,
) -> np.ndarray:
    """Return the fall of a class's probability at each pixel when it is covered (Zeiler and Fergus 2014, section 4.2).

    A square of the mean color of the image is moved over it. The value of a pixel is the mean over the squares that
    cover it; it is negative where covering raises the probability.

    Args:
        subject, images, classes: as for `grad_cam`.
        patch: side of the square in pixels of the model's images; None: a fifth of the shorter side.
        stride: step of the square in pixels; None: half of the patch. The number of forward passes of an image is about
            (height / stride) * (width / stride).

    Returns:
        (N, H, W) float32, -1..1, at the size of the images.

    Raises:
        DataError: images that cannot be read or do not fit, a class that does not exist, or a patch that does not fit.
    """
    examined = Examined(subject)
    given = examined.read(images)
    fitted = examined.fitted(given)
    numbers = examined.class_numbers(classes, len(given))
    patch = max(min(examined.size) // _SHARE, 1) if patch is None else patch
    stride = max(patch // 2, 1) if stride is None else stride
    if not 0 < patch <= min(examined.size) or stride < 1:
        raise DataError(
            f"a patch of {patch} pixels with a stride of {stride} does not fit images of {examined.size} pixels; give "
            f"a patch of 1 to {min(examined.size)} and a stride of at least 1"
        )
    maps = [_one(examined, image, int(number), patch, stride) for image, number in zip(fitted, numbers, strict=True)]
    height, width = given.shape[1:3]
    return in_images(np.stack(maps), (height, width), examined.spec)


def _one(examined: Examined, image: np.ndarray, number: int, patch: int, stride: int) -> np.ndarray:
    """Return the map (H, W) of an image (H, W, C) uint8 of the model's size; number -1: the predicted class."""
    whole = softmax(examined.logits(image[None]).astype(np.float64), axis=1)[0]
    number = int(whole.argmax()) if number < 0 else number
    falls, covered = np.zeros(image.shape[:2]), np.zeros(image.shape[:2])
    corners = list(_corners(image.shape[0], image.shape[1], patch, stride))
    color = image.mean(axis=(0, 1)).round().astype(np.uint8)
    for start in range(0, len(corners), BATCH):
        some = corners[start : start + BATCH]
        copies = np.repeat(image[None], len(some), axis=0)
        for copy, (top, left) in zip(copies, some, strict=True):
            copy[top : top + patch, left : left + patch] = color
        left_over = softmax(examined.logits(copies).astype(np.float64), axis=1)[:, number]
        for (top, left), fall in zip(some, whole[number] - left_over, strict=True):
            falls[top : top + patch, left : left + patch] += fall
            covered[top : top + patch, left : left + patch] += 1
    return (falls / np.maximum(covered, 1)).astype(np.float32)


def _corners(height: int, width: int, patch: int, stride: int) -> Iterator[tuple[int, int]]:
    """Yield the top left corners of the squares, of which the last ones end at the border."""
    for top in sorted({*range(0, height - patch, stride), height - patch}):
        for left in sorted({*range(0, width - patch, stride), width - patch}):
            yield top, left

"""Conversion of kernels, feature maps and images to brightness, and their arrangement as tiles."""

from __future__ import annotations

import math

import numpy as np


def signed(kernels: np.ndarray) -> np.ndarray:
    """Scale kernels (K, H, W, C) to 0..1: 0.5 is a weight of 0; 0 and 1 are minus and plus the kernel's largest weight.

    Values that are not finite become 1.
    """
    finite = np.isfinite(kernels)
    size = np.abs(np.where(finite, kernels, 0)).max(axis=(1, 2, 3), keepdims=True)
    return np.where(finite, 0.5 + kernels / (2 * np.where(size > 0, size, 1)), 1.0)


def spread(feature_map: np.ndarray) -> np.ndarray:
    """Scale a map (H, W) to 0..1; a constant map becomes 0, values that are not finite become NaN."""
    finite = np.isfinite(feature_map)
    if not finite.any():
        return np.full(feature_map.shape, np.nan)
    low, high = feature_map[finite].min(), feature_map[finite].max()
    return np.where(finite, (feature_map - low) / ((high - low) or 1), np.nan)


def shades(image: np.ndarray) -> np.ndarray:
    """Convert an image (H, W, C) for display to (H, W, 3), 0..1; other than 3 channels are averaged to gray.

    Values 0..255 are divided by 255; other ranges, for example -1..1, are scaled from their minimum to their maximum.
    """
    image = image.astype("float64")
    if image.shape[-1] != 3:
        image = np.repeat(image.mean(axis=-1, keepdims=True), 3, axis=-1)
    if image.min() >= 0 and 1 < image.max() <= 255:
        return image / 255
    return np.nan_to_num(spread(image))


def mosaic(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Arrange tiles (K, H, W, C), 0..1, in rows of `columns`, framed on white, as one image (H', W', 3)."""
    # Enlarged, so that the gap is narrow even for tiles of one pixel; framed, since a weight may be white, too.
    times, gap = math.ceil(24 / max(tiles.shape[1:3])), 3
    tiles = np.broadcast_to(tiles, (*tiles.shape[:3], 3)).repeat(times, axis=1).repeat(times, axis=2)
    tiles = np.pad(tiles, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=0.3)
    count, height, width, _ = tiles.shape
    rows = math.ceil(count / columns)
    image = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, 3))
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        image[top : top + height, left : left + width] = tile
    return image

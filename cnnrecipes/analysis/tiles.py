"""Small images side by side: their brightness, and their arrangement."""

from __future__ import annotations

import math

import numpy as np


def signed(kernels: np.ndarray) -> np.ndarray:
    """Kernels (K, H, W, C) as brightness: 0.5 is a weight of 0, 0 and 1 are minus and plus the kernel's largest.

    What is not finite is 1.
    """
    finite = np.isfinite(kernels)
    size = np.abs(np.where(finite, kernels, 0)).max(axis=(1, 2, 3), keepdims=True)
    return np.where(finite, 0.5 + kernels / (2 * np.where(size > 0, size, 1)), 1.0)


def spread(feature_map: np.ndarray) -> np.ndarray:
    """A map (H, W) from its smallest value, 0, to its largest, 1; a constant is 0, what is not finite NaN."""
    finite = np.isfinite(feature_map)
    if not finite.any():
        return np.full(feature_map.shape, np.nan)
    low, high = feature_map[finite].min(), feature_map[finite].max()
    return np.where(finite, (feature_map - low) / ((high - low) or 1), np.nan)


def shades(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) for the eye: (H, W, 3) of 0..1. Other than 3 channels are averaged to gray.

    Values 0..255 stay as bright as they are; other scales, as -1..1, go from their smallest to their largest.
    """
    image = image.astype("float64")
    if image.shape[-1] != 3:
        image = np.repeat(image.mean(axis=-1, keepdims=True), 3, axis=-1)
    if image.min() >= 0 and 1 < image.max() <= 255:
        return image / 255
    return np.nan_to_num(spread(image))


def mosaic(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Tiles (K, H, W, C) with values 0..1 in rows of `columns`, framed, on white, as one image (H', W', 3)."""
    # Enlarged, so that the gap is narrow beside a tile of one pixel too; framed, since a weight can be white as well.
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

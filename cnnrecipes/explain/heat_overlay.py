"""Overlay of a map on its image."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps

from cnnrecipes.errors import DataError

_COLORS = "inferno"  # perceptually uniform, and legible for color-blind readers
_OPACITY = 0.65


def draw_heat(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return an image with a map over it: dark where the map is 0, unchanged in structure, bright where it is largest.

    Args:
        image: (H, W, C) uint8, 0..255; C is 1 or 3.
        heat: (H, W) float; negative values count as 0, and the largest one as 1.

    Returns:
        (H, W, 3) uint8, 0..255.

    Raises:
        DataError: image and map have different sizes.
    """
    if image.shape[:2] != heat.shape:
        raise DataError(f"the image is {image.shape[:2]} pixels, its map {heat.shape}; give a map of the image's size")
    shown = np.maximum(np.nan_to_num(heat), 0)
    shown = shown / shown.max() if shown.max() > 0 else shown
    colors = 255 * colormaps[_COLORS](shown)[..., :3]
    gray = np.broadcast_to(image.astype(float).mean(axis=-1, keepdims=True), (*image.shape[:2], 3))
    return np.clip((1 - _OPACITY) * gray + _OPACITY * colors, 0, 255).round().astype(np.uint8)

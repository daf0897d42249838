"""Maps at the size of the model's images, placed in the images as they were before they were resized."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cnnrecipes.recipe import schema


def in_images(maps: np.ndarray, shape: tuple[int, int], spec: schema.Data | None) -> np.ndarray:
    """Return maps (N, h, w) of the model's images as maps (N, H, W) of the images before `resize`, float32.

    With `data.resize` = "crop" the model sees the center of an image only: the map is 0 outside of it.

    Args:
        maps: at the size of the model's images.
        shape: (H, W), size of the images that were given.
        spec: the recipe's `data` table; None: the images had the model's size.
    """
    size = maps.shape[1:3]
    if spec is None or (shape == size and not spec.short_side):
        return maps.astype(np.float32)
    if spec.resize == "crop":
        side = spec.short_side or min(size)
        target = np.asarray(size) * side / min(size)
        scaled = np.maximum(np.round(np.asarray(shape) * max(target / shape)).astype(int), size)
        top, left = (scaled - size) // 2
        whole = np.zeros((len(maps), *scaled), np.float32)
        whole[:, top : top + size[0], left : left + size[1]] = maps
    else:
        scaled = np.maximum(np.round(np.asarray(shape) * min(np.asarray(size) / shape)).astype(int), 1)
        top, left = (size - scaled) // 2
        whole = maps[:, top : top + scaled[0], left : left + scaled[1]]
    return enlarged(whole, shape)


def enlarged(maps: np.ndarray | tf.Tensor, shape: tuple[int, int]) -> np.ndarray:
    """Return maps (N, h, w) resized to (N, H, W) by bilinear interpolation, float32."""
    return tf.image.resize(tf.cast(maps, tf.float32)[..., None], shape).numpy()[..., 0]

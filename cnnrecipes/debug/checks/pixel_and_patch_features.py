"""Features of images that need no trained model: small images, and responses to whitened patches of the images."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

SMALL = 16  # side of the small images
LARGEST = 64  # side of the images that the patches are taken from; larger images are reduced
_PATCH, _FILTERS, _PATCHES = 5, 64, 4000
_CELLS = 2  # pooling cells a side
_BATCH = 250


def pixel_features(images: np.ndarray) -> np.ndarray:
    """Return images (N, H, W, C) averaged to at most 16 x 16 pixels, as rows (N, D) of standardized columns."""
    return standardized(_reduced(images, SMALL).reshape(len(images), -1))


def patch_features(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return pooled responses (N, D) to whitened patches of the images themselves, as standardized columns.

    A layer of Coates, Ng & Lee 2011 ("An analysis of single-layer networks in unsupervised feature learning"), with
    drawn patches in place of k-means: both signs, and both mean and maximum over quadrants, so that textures and small
    objects anywhere count.

    Args:
        images: (N, H, W, C).
        seed: of the drawn patches.
    """
    reduced = _reduced(images, LARGEST) / 255
    side = min(_PATCH, *reduced.shape[1:3])
    filters, mean = _whitened_filters(reduced, side, np.random.default_rng(seed))
    rows = []
    for start in range(0, len(reduced), _BATCH):
        patches = tf.nn.conv2d(reduced[start : start + _BATCH], filters, 1, "VALID") - mean
        rows.append(_pooled(patches).numpy())
    return standardized(np.concatenate(rows))


def standardized(features: np.ndarray) -> np.ndarray:
    """Return features (N, D) with columns of mean 0 and standard deviation 1; constant columns are left out."""
    features = np.asarray(features, np.float64).reshape(len(features), -1)
    deviation = features.std(axis=0)
    kept = deviation > 1e-9 * max(float(deviation.max(initial=0.0)), 1e-12)
    return (features[:, kept] - features[:, kept].mean(axis=0)) / deviation[kept]


def _reduced(images: np.ndarray, side: int) -> np.ndarray:
    """Return images as float32, averaged to at most `side` pixels a side."""
    height, width = (min(n, side) for n in images.shape[1:3])
    if (height, width) == images.shape[1:3]:
        return images.astype(np.float32)
    parts = [
        tf.image.resize(images[start : start + _BATCH], (height, width), "area").numpy()
        for start in range(0, len(images), _BATCH)
    ]
    return np.concatenate(parts)


def _whitened_filters(images: np.ndarray, side: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return filters (side, side, C, filters) of whitened patches, and their responses (filters,) to the mean patch."""
    n, height, width, channels = images.shape
    at = rng.integers(0, [n, height - side + 1, width - side + 1], (_PATCHES, 3))
    patches = np.stack([images[i, y : y + side, x : x + side].ravel() for i, y, x in at]).astype(np.float64)
    mean = patches.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(patches - mean, rowvar=False))
    whiten = vectors / np.sqrt(values + 1e-3 * max(values.max(), 1e-12)) @ vectors.T
    chosen = (patches[rng.permutation(_PATCHES)[:_FILTERS]] - mean) @ whiten
    chosen /= np.linalg.norm(chosen, axis=1, keepdims=True) + 1e-12
    filters = whiten @ chosen.T
    shape = (side, side, channels, filters.shape[1])
    return filters.reshape(shape).astype(np.float32), (mean @ filters).astype(np.float32)


def _pooled(responses: tf.Tensor) -> tf.Tensor:
    """Return mean and maximum of both signs of responses (N, H, W, F) over quadrants, (N, 16 F)."""
    height, width = responses.shape[1:3]
    cells = []
    for rows in np.array_split(np.arange(height), min(_CELLS, height)):
        for columns in np.array_split(np.arange(width), min(_CELLS, width)):
            cell = responses[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            for signed in (tf.nn.relu(cell), tf.nn.relu(-cell)):
                cells += [tf.reduce_mean(signed, (1, 2)), tf.reduce_max(signed, (1, 2))]
    return tf.concat(cells, axis=1)

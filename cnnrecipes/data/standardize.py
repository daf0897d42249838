"""Per-channel mean and standard deviation of a split, exact, in one streaming pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Statistics:
    """Per-channel mean and standard deviation (over all pixels, divided by n), on the scale 0..255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def standardize(self, images) -> np.ndarray:
        """(images - mean) / std in float32, as the first layer of a model does it; for models of your own."""
        std = np.maximum(np.asarray(self.std, np.float32), 1e-7)
        return (np.asarray(images, np.float32) - np.asarray(self.mean, np.float32)) / std


def statistics(batches: Iterable[np.ndarray]) -> Statistics:
    """The statistics over batches of (N, H, W, C) uint8 images, from histograms: nothing is rounded on the way."""
    counts = None
    for images in batches:
        per_channel = [np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[-1])]
        counts = np.asarray(per_channel) if counts is None else counts + per_channel
    values, n = np.arange(256.0), counts.sum(axis=1)
    mean = counts @ values / n
    variance = (counts * (values - mean[:, None]) ** 2).sum(axis=1) / n
    return Statistics(tuple(mean.tolist()), tuple(np.sqrt(variance).tolist()))

"""Standardization: exact per-channel mean and standard deviation of a split in one pass, of ImageNet, or per image."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnrecipes._support.atomic_files import write_whole
from cnnrecipes.errors import DataError

# Over ImageNet's training images, on the scale 0..255 (torchvision's 0.485, 0.456, 0.406 and 0.229, 0.224, 0.225).
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


@dataclass(frozen=True)
class Statistics:
    """Per-channel mean and (biased) standard deviation over all pixels, in 0..255, and how the model uses them.

    use: "channels": the model subtracts the mean and divides by the standard deviation; "image": it standardizes each
    image by its own mean and variance; "model": it has its own preprocessing; "none": it does not standardize. For the
    last three the mean is middle gray, the fill color of augmentation.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    use: str = "channels"

    @classmethod
    def named(cls, name: str, channels: int) -> Statistics:
        """Return the statistics for the values of `data.standardize` that need no data.

        For "image", "model" and "none" the mean is 127.5 and the standard deviation 1, which the model does not use.

        Raises:
            DataError: "imagenet" for images of another number of channels than 3.
        """
        if name != "imagenet":
            return cls((127.5,) * channels, (1.0,) * channels, name)
        if channels != 3:
            raise DataError(f"data.standardize = 'imagenet' needs 3 channels, the images have {channels}; use 'train'")
        return cls(*IMAGENET)

    @property
    def for_model(self) -> Mapping[str, Any]:
        """The keyword arguments for `cnnrecipes.build`."""
        if self.use == "channels":
            return {"mean": self.mean, "std": self.std}
        return {"per_image": True} if self.use == "image" else {}

    def standardize(self, images) -> np.ndarray:
        """Return images (..., H, W, C) standardized as a model's first layer does, float32; for your own models."""
        images = np.asarray(images, np.float32)
        if self.use == "none":
            return images
        if self.use == "model":
            raise DataError(
                "data.standardize = 'model': the model standardizes images itself; leave this call out, and "
                "give the model images 0..255"
            )
        if self.use == "image":
            axes = (-3, -2, -1)
            return (images - images.mean(axes, keepdims=True)) / np.sqrt(images.var(axes, keepdims=True) + 1e-3)
        std = np.maximum(np.asarray(self.std, np.float32), 1e-7)
        return (images - np.asarray(self.mean, np.float32)) / std

    def save(self, path: Path) -> None:
        """Write mean and standard deviation to a JSON file atomically. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"mean": self.mean, "std": self.std})
        write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))

    @classmethod
    def load(cls, path: Path) -> Statistics | None:
        """Load mean and standard deviation from a file written by `save`; None if it is missing or invalid."""
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            return cls(tuple(map(float, kept["mean"])), tuple(map(float, kept["std"])))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def statistics(batches: Iterable[np.ndarray]) -> Statistics:
    """Return the channel statistics of batches (N, H, W, C) uint8, from histograms, without rounding errors."""
    counts: np.ndarray | None = None
    for images in batches:
        per_channel = [np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[-1])]
        counts = np.asarray(per_channel) if counts is None else counts + per_channel
    if counts is None:
        raise DataError("there are no images to compute statistics of; give at least one batch")
    values, n = np.arange(256.0), counts.sum(axis=1)
    mean = counts @ values / n
    variance = (counts * (values - mean[:, None]) ** 2).sum(axis=1) / n
    return Statistics(tuple(mean.tolist()), tuple(np.sqrt(variance).tolist()))

"""Standardization: per-channel mean and deviation of a split, exact, in one pass; or named ones; or each image's."""

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
    """Per-channel mean and standard deviation (over all pixels, divided by n), on the scale 0..255, and their use.

    use: "channels", what the model subtracts and divides by; "image": it takes each image's own, over all its values;
    "none": it takes the values as they are. In these two, mean is the middle gray that fills what an image lacks.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    use: str = "channels"

    @classmethod
    def named(cls, name: str, channels: int) -> Statistics:
        """Of `data.standardize` where it is not "train". Raises DataError for ImageNet's with other than 3 channels."""
        if name != "imagenet":
            return cls((127.5,) * channels, (1.0,) * channels, name)
        if channels != 3:
            raise DataError(f"data.standardize = 'imagenet' is of 3 channels, the images have {channels}; take 'train'")
        return cls(*IMAGENET)

    @property
    def for_model(self) -> Mapping[str, Any]:
        """What `cnnrecipes.build` is to be given."""
        if self.use == "channels":
            return {"mean": self.mean, "std": self.std}
        return {"per_image": True} if self.use == "image" else {}

    def standardize(self, images) -> np.ndarray:
        """In float32, as the first layer of a model does it; for models of your own. images: (..., H, W, C)."""
        images = np.asarray(images, np.float32)
        if self.use == "none":
            return images
        if self.use == "image":
            axes = (-3, -2, -1)
            return (images - images.mean(axes, keepdims=True)) / np.sqrt(images.var(axes, keepdims=True) + 1e-3)
        std = np.maximum(np.asarray(self.std, np.float32), 1e-7)
        return (images - np.asarray(self.mean, np.float32)) / std

    def save(self, path: Path) -> None:
        """Keep them in a JSON file, whole or not at all. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"mean": self.mean, "std": self.std})
        write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))

    @classmethod
    def load(cls, path: Path) -> Statistics | None:
        """What `save` wrote; None where there is nothing, or something else."""
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            return cls(tuple(map(float, kept["mean"])), tuple(map(float, kept["std"])))
        except (OSError, ValueError, KeyError, TypeError):
            return None


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

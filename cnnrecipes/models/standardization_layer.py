"""Standardization as the first layer of a model; its constants are saved with the weights."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from cnnrecipes.errors import ModelError


def standardized(images, name: str, *, mean: Sequence[float] | None, std: Sequence[float] | None, per_image: bool):
    """Standardize images (N, H, W, C), 0..255, as the arguments select; return them unchanged by default.

    Args:
        name: name of the model, for error messages.

    Raises:
        ModelError: a mean or std without one finite number a channel, or a std of 0.
    """
    if mean is not None or std is not None:
        channels = images.shape[-1]
        mean, std = _checked(name, "mean", mean, channels), _checked(name, "std", std, channels)
        if min(std) <= 0:
            raise ModelError(f"{name}: std is {std!r}; give 1 for a channel that never changes")
        return standardize(mean, std)(images)
    return standardize_image()(images) if per_image else images


def standardize(mean: Sequence[float], std: Sequence[float]) -> keras.Layer:
    """Return a layer that computes (x - mean) / std per channel, in float32 regardless of the dtype policy."""
    variance = [float(s) ** 2 for s in std]
    mean = [float(m) for m in mean]
    return keras.layers.Normalization(mean=mean, variance=variance, dtype="float32", name="standardize")


def standardize_image() -> keras.Layer:
    """Return a layer that computes (x - mean) / sqrt(variance + 0.001) over all values of each image, in float32."""
    axes = (1, 2, 3)
    return keras.layers.LayerNormalization(axes, 1e-3, center=False, scale=False, dtype="float32", name="standardize")


def _checked(name: str, what: str, values: Sequence[float] | None, channels: int) -> Sequence[float]:
    """Return a mean or std with one finite number per channel. Raise ModelError for any other value."""
    if values is None or np.shape(values) != (channels,) or not np.isfinite(values).all():
        raise ModelError(f"{name}: {what} is {values!r}; give mean and std as {channels} numbers, one a channel")
    return values

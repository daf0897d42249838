"""Comparison of weight initializations by activation statistics over depth (He et al. 2015b, section 2.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd

from cnnrecipes.analysis.activation_statistics import activation_statistics
from cnnrecipes.analysis.batch_validation import numbers
from cnnrecipes.errors import DataError
from cnnrecipes.layers import initializer
from cnnrecipes.models import build

KINDS = ("he_normal", "he_normal(0.5)", "he_normal(2.0)", "fixed(0.01)")


def compare_initializations(
    architecture: str = "plain20",
    kinds: Sequence[str] = KINDS,
    images: Any = None,
    *,
    norm: str = "none",
    seed: int = 0,
    **options: Any,
) -> dict[str, pd.DataFrame]:
    """Compute the activation statistics of an untrained network for several weight initializations.

    With ReLU after every layer, a layer multiplies the standard deviation by sqrt(fan_in / 2) times that of its weights
    (He et al. 2015b, eq. 8): by 1 for "he_normal", by f for "he_normal(f)"; slightly less with zero padding.

    Args:
        architecture: a name of `cnnrecipes.models`; the effect is visible without normalization.
        kinds: initializations (see `layers.initializer`); all use the same random numbers, scaled.
        images: (N, H, W, C), 0..255, standardized by their own mean and standard deviation; None: 16 images of uniform
            noise, 32x32.
        norm: normalization of the architecture.
        seed: seed of the weights and of the noise.
        options: other options of `cnnrecipes.build`, for example `activation="tanh"`.

    Returns:
        initialization -> frame of `activation_statistics`.

    Raises:
        DataError: no images, or images of another shape.
        CNNRecipesError: an unknown architecture, initialization or option.
    """
    images = np.random.default_rng(seed).uniform(0, 255, (16, 32, 32, 3)) if images is None else numbers(images)
    if images.ndim != 4 or not images.size:
        raise DataError(f"images have the shape {images.shape}; give (N, H, W, C) with at least one image")
    images = images.astype("float32")
    given = {
        "input_shape": images.shape[1:],
        "classes": 10,
        "mean": images.mean(axis=(0, 1, 2), dtype="float64").tolist(),
        "std": images.std(axis=(0, 1, 2), dtype="float64").tolist(),
        "norm": norm,
        **options,
    }
    frames = {}
    for kind in (kinds,) if isinstance(kinds, str) else kinds:
        model = build(architecture, init=_seeded(kind, seed), **given)
        frames[kind] = activation_statistics(model, images)
    return frames


def _seeded(kind: str, seed: int) -> Callable[[], keras.Initializer]:
    """Return an initializer factory with a new seed for each layer, the same seeds for every kind."""
    make, generator = initializer(kind), np.random.default_rng(seed)

    def made() -> keras.Initializer:
        plain = make()
        return type(plain).from_config({**plain.get_config(), "seed": int(generator.integers(2**31))})

    return made

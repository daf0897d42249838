"""Predictions made of arrays, for tests of what is computed from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from cnnrecipes.runs.predictions import Predictions


def predictions_of(
    probabilities, truth, *, split: str = "test", names: Sequence[str] = (), groups: Sequence[str] | None = None
) -> Predictions:
    """Predictions with these probabilities (N, classes) and labels (N,)."""
    p = np.asarray(probabilities, np.float32)
    return Predictions(
        split,
        tuple(names) or tuple(f"c{i}" for i in range(p.shape[1])),
        tuple(f"train[{i}]" for i in range(len(p))),
        np.arange(len(p)),
        np.asarray(truth),
        p,
        tuple(groups) if groups is not None else None,
        "digest",
    )


def drawn(n: int, classes: int, *, sharpness: float = 1.0, scale: float = 2.0, seed: int = 0, **options) -> Predictions:
    """Predictions of a model that knows the probabilities of the labels, with its logits times `sharpness`."""
    random = np.random.default_rng(seed)
    logits = scale * random.normal(size=(n, classes))
    cumulated = softmax(logits, axis=1).cumsum(axis=1)
    truth = (random.random((n, 1)) > cumulated).sum(axis=1).clip(max=classes - 1)
    return predictions_of(softmax(sharpness * logits, axis=1), truth, **options)

"""Metrics of a model on a split, with the number of examples and an interval."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cnnrecipes.artefact import Artefact
from cnnrecipes.data import pipeline
from cnnrecipes.data.sources import Split
from cnnrecipes.errors import DataError


def evaluate(artefact: Artefact, split: Split) -> dict[str, Any]:
    """Accuracy with its 95% interval, cross entropy, and n, over every example of a split once.

    Returns:
        {"split", "accuracy", "accuracy_95": [low, high], "cross_entropy", "n"}; accuracies 0..1, cross entropy in nats.

    Raises:
        DataError: images that do not fit the model, or cannot be read.
    """
    shape = pipeline.image_shape(split, artefact.recipe.data)
    if shape != artefact.input_shape:
        raise DataError(f"the images of {split.name} are {shape}, the model wants {artefact.input_shape}")
    correct, loss, n = 0, 0.0, 0
    for images, labels, weights in pipeline.arrays(split, artefact.recipe.data, len(artefact.class_names)):
        logits = artefact.logits(images)[weights > 0].astype(np.float64)
        truth = labels[weights > 0].argmax(axis=1)
        correct += int((logits.argmax(axis=1) == truth).sum())
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probability = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        loss -= log_probability[np.arange(len(truth)), truth].sum()
        n += len(truth)
    return {
        "split": split.name,
        "accuracy": correct / n,
        "accuracy_95": list(wilson(correct, n)),
        "cross_entropy": float(loss / n),
        "n": n,
    }


def wilson(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a proportion (Wilson 1927); unlike the normal one it stays within 0..1. z: 1.96 for 95%."""
    p, square = successes / n, z * z / n
    centre = (p + square / 2) / (1 + square)
    half = z * math.sqrt(p * (1 - p) / n + square / (4 * n)) / (1 + square)
    return max(centre - half, 0.0), min(centre + half, 1.0)

"""Histories with a known shape, for tests of findings."""

from __future__ import annotations

import numpy as np

from cnnrecipes.diagnosis.evidence import Evidence, Predictions
from cnnrecipes.diagnosis.history import History
from cnnrecipes.recipe.schema import Recipe

CLASSES = 10


def recipe(**changes) -> Recipe:
    """A recipe of 20 epochs with the usual rate of SGD, without augmentation."""
    tables = {
        "data": {"name": "arrays", "batch_size": 128},
        "model": {"name": "resnet8"},
        "optimizer": {"learning_rate": 0.1},
        "train": {"epochs": 20},
    }
    return Recipe.from_dict(tables, "test").change(**changes)


def exponential(start: float, end: float, rate: float, epochs: int) -> np.ndarray:
    """Values that approach `end` from `start`, (epochs,)."""
    return end + (start - end) * np.exp(-rate * np.arange(epochs))


def history(loss, accuracy, val_loss=None, val_accuracy=None, rate=None) -> History:
    """A history of arrays; without a rate a cosine from 0.1 to 0."""
    epochs = len(loss)
    rate = 0.05 * (1 + np.cos(np.pi * np.arange(1, epochs + 1) / epochs)) if rate is None else rate
    columns = {"loss": loss, "accuracy": accuracy, "val_loss": val_loss, "val_accuracy": val_accuracy}
    present = {name: np.broadcast_to(values, epochs) for name, values in columns.items() if values is not None}
    present["learning_rate"] = np.broadcast_to(rate, epochs)
    return History.of(
        [{"epoch": i + 1, **{name: float(values[i]) for name, values in present.items()}} for i in range(epochs)]
    )


def evidence(curves: History, **options) -> Evidence:
    """Evidence of a training on ten balanced classes with 1,000 validation images."""
    given = {"recipe": recipe(), "classes": CLASSES, "validation_images": 1000, **options}
    return Evidence(history=curves, **given)


def healthy(epochs: int = 20) -> History:
    """Training to 99%, validation to 97%."""
    return history(
        exponential(1.5, 0.02, 0.5, epochs),
        exponential(0.5, 0.99, 0.5, epochs),
        exponential(1.4, 0.1, 0.5, epochs),
        exponential(0.55, 0.97, 0.5, epochs),
    )


def predictions(images, predicted, correct, loss=1.0) -> Predictions:
    """Predictions by counts."""
    return Predictions(tuple(images), tuple(predicted), tuple(correct), loss)

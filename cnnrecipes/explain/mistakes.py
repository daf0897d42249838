"""The images with the largest loss, and those with the least sure prediction."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cnnrecipes.errors import DataError
from cnnrecipes.runs.predictions import Predictions


def top_losses(predictions: Predictions, n: int = 25) -> pd.DataFrame:
    """Return the images with the largest cross entropy, the largest first.

    Returns:
        columns file, position, truth and predicted (class names), loss (nats), probability_truth and
        probability_predicted (0..1).

    Raises:
        DataError: `n` is below 1.
    """
    return _table(predictions, np.argsort(-predictions.losses, kind="stable"), n)


def least_sure(predictions: Predictions, n: int = 25) -> pd.DataFrame:
    """Return the images whose most probable class has the lowest probability, the lowest first.

    Columns and errors as of `top_losses`.
    """
    return _table(predictions, np.argsort(predictions.confidence, kind="stable"), n)


def _table(predictions: Predictions, order: np.ndarray, n: int) -> pd.DataFrame:
    """Return the first `n` predictions of an order (N,) as a table."""
    if n < 1:
        raise DataError(f"n = {n} leaves no image to return; give at least 1")
    some = order[:n]
    truth, predicted, names = predictions.truth[some], predictions.predicted[some], predictions.class_names
    return pd.DataFrame(
        {
            "file": [predictions.files[i] for i in some.tolist()],
            "position": predictions.positions[some],
            "truth": [names[i] for i in truth.tolist()],
            "predicted": [names[i] for i in predicted.tolist()],
            "loss": predictions.losses[some],
            "probability_truth": predictions.probabilities[some, truth],
            "probability_predicted": predictions.probabilities[some, predicted],
        }
    )

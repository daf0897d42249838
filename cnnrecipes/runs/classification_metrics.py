"""Metrics of predictions: of the whole split and by class, with confidence intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cnnrecipes.runs.calibration import answered, calibration, scaled_cross_entropy
from cnnrecipes.runs.intervals import cluster_bootstrap, mean_of_proportions, wilson, wilson_intervals
from cnnrecipes.runs.predictions import Predictions

TOP = 5
COVERAGES = (0.5, 0.8, 0.9)  # shares of the images, of which the accuracy is told


def classification_metrics(predictions: Predictions, temperature: float | None = None) -> dict[str, Any]:
    """Return the metrics of a split as plain numbers, as metrics.json has them.

    | key                   | content                                                                                |
    |-----------------------|----------------------------------------------------------------------------------------|
    | split, n              | name of the split, and its number of images                                            |
    | accuracy, accuracy_95 | share of correct predictions, with its 95% interval (Wilson)                           |
    | cross_entropy         | mean, in nats (log loss)                                                               |
    | top5_accuracy         | share of images whose label is among the 5 most probable classes; from 6 classes on    |
    | balanced_accuracy     | mean recall of the classes that have images, with balanced_accuracy_95                 |
    | macro_f1              | mean F1 of these classes                                                               |
    | worst_class           | the class of the lowest recall: class, n, recall, recall_95                            |
    | brier                 | Brier score, 0..2: mean squared error of the probabilities, summed over the classes    |
    | calibration_error     | expected calibration error, see `runs.calibration`                                     |
    | temperature           | fitted on the validation split; with it calibration_error_scaled and                   |
    |                       | cross_entropy_scaled, those of logits divided by it                                    |
    | groups                | number of groups, if the data has any; accuracy_95_groups: interval by bootstrap over  |
    |                       | groups                                                                                 |
    | coverage              | accuracy on the surest 50%, 80% and 90% of the images, and the confidence they need    |

    Args:
        predictions: of the split.
        temperature: fitted on the validation split; None: the metrics with it are left out.
    """
    n, correct = len(predictions), int(predictions.right.sum())
    return {
        **basic(predictions.split, correct, float(predictions.losses.sum()), n),
        **_top(predictions),
        **_by_class(per_class(predictions)),
        "brier": _brier(predictions),
        **_calibrated(predictions, temperature),
        **_grouped(predictions),
        "coverage": [_row(row) for row in answered(predictions, COVERAGES).to_dict("records")],
    }


def basic(split: str, correct: int, loss: float, n: int) -> dict[str, Any]:
    """Return accuracy, its interval, cross entropy and n from counts and the sum of the losses, in nats."""
    return {
        "split": split,
        "accuracy": correct / n,
        "accuracy_95": [float(bound) for bound in wilson(correct, n)],
        "cross_entropy": float(loss / n),
        "n": n,
    }


def per_class(predictions: Predictions) -> pd.DataFrame:
    """Return one row per class: class, n, precision, recall, f1, recall_low, recall_high (95%), mean_confidence.

    `n` is the number of its images, `mean_confidence` the mean probability of the prediction on them. Recall and what
    depends on it is NaN for a class without images, precision is NaN for a class that is never predicted.
    """
    from sklearn.metrics import precision_recall_fscore_support

    classes = len(predictions.class_names)
    precision, recall, f1, n = precision_recall_fscore_support(
        predictions.truth, predictions.predicted, labels=range(classes), zero_division=np.nan
    )
    correct = np.bincount(predictions.truth[predictions.right], minlength=classes)
    low, high = wilson_intervals(correct, n)
    confidence = np.bincount(predictions.truth, predictions.confidence, classes)
    return pd.DataFrame(
        {
            "class": list(predictions.class_names),
            "n": n.astype(int),
            "precision": precision,
            "recall": recall,
            "f1": np.where(n > 0, f1, np.nan),
            "recall_low": low,
            "recall_high": high,
            "mean_confidence": np.divide(confidence, n, out=np.full(classes, np.nan), where=n > 0),
        }
    )


def worst_first(classes: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `per_class` that have images by rising recall; of equal recalls the most images first."""
    return classes[classes["n"] > 0].sort_values(["recall", "n"], ascending=[True, False], kind="stable")


def _top(predictions: Predictions) -> dict[str, float]:
    """Return the top-5 accuracy; a class of equal probability counts as more probable if it comes first."""
    if len(predictions.class_names) <= TOP:
        return {}
    own = np.take_along_axis(predictions.probabilities, predictions.truth[:, None].astype(np.int64), axis=1)
    above = (predictions.probabilities > own).sum(axis=1)
    earlier = np.arange(predictions.probabilities.shape[1]) < predictions.truth[:, None]
    above += ((predictions.probabilities == own) & earlier).sum(axis=1)
    return {"top5_accuracy": float(np.mean(above < TOP))}


def _by_class(classes: pd.DataFrame) -> dict[str, Any]:
    found = worst_first(classes)
    worst = found.iloc[0]
    limits = list(zip(found["recall_low"], found["recall_high"], strict=True))
    return {
        "balanced_accuracy": float(found["recall"].mean()),
        "balanced_accuracy_95": [*mean_of_proportions(found["recall"].tolist(), limits)],
        "macro_f1": float(found["f1"].mean()),
        "worst_class": {
            "class": str(worst["class"]),
            "n": int(worst["n"]),
            "recall": float(worst["recall"]),
            "recall_95": [float(worst["recall_low"]), float(worst["recall_high"])],
        },
    }


def _brier(predictions: Predictions) -> float:
    """Return the Brier score (Brier 1950): the sum over the classes of (p - y)^2, mean over the images."""
    squares = np.einsum("nc,nc->n", predictions.probabilities, predictions.probabilities, dtype=float)
    own = np.take_along_axis(predictions.probabilities, predictions.truth[:, None].astype(np.int64), axis=1)[:, 0]
    return float(np.mean(squares - 2 * own.astype(float) + 1))


def _calibrated(predictions: Predictions, temperature: float | None) -> dict[str, float]:
    found = {"calibration_error": calibration(predictions).ece}
    if temperature is None:
        return found
    return {
        **found,
        "temperature": temperature,
        "calibration_error_scaled": calibration(predictions, temperature).ece,
        "cross_entropy_scaled": scaled_cross_entropy(predictions, temperature),
    }


def _grouped(predictions: Predictions) -> dict[str, Any]:
    if predictions.groups is None:
        return {}
    interval = cluster_bootstrap(predictions.right, predictions.groups)
    return {"groups": len(set(predictions.groups))} | (
        {"accuracy_95_groups": [*map(float, interval)]} if interval else {}
    )


def _row(row: dict[Any, Any]) -> dict[str, Any]:
    """Return a row of `coverage` with its interval as a list, as the other metrics have it."""
    return {
        "coverage": float(row["coverage"]),
        "threshold": float(row["threshold"]),
        "accuracy": float(row["accuracy"]),
        "accuracy_95": [float(row["accuracy_low"]), float(row["accuracy_high"])],
        "n": int(row["n"]),
    }

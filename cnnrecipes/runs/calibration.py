"""Calibration: does a model that says 80% have 80% right? And which images may it abstain from?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cnnrecipes.runs.intervals import wilson_intervals
from cnnrecipes.runs.predictions import Predictions

BINS = 15
_TEMPERATURES = (0.05, 20.0)  # range in which a temperature is fitted


@dataclass(frozen=True, eq=False)
class Calibration:
    """Confidence against accuracy.

    Attributes:
        ece: expected calibration error, 0..1: the mean distance of confidence and accuracy in the bins, weighted by n.
        table: one row per bin: low, high (confidences above low and up to high), n, confidence (mean), accuracy,
            accuracy_low, accuracy_high (95%, Wilson); NaN where n = 0.
    """

    ece: float
    table: pd.DataFrame


def calibration(predictions: Predictions, temperature: float = 1.0, bins: int = BINS) -> Calibration:
    """Return the reliability table and the expected calibration error in bins of equal width.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 2 and 3. The error is above 0 for a perfectly
    calibrated model too, by chance: up to 0.8 times the square root of bins * accuracy * (1 - accuracy) / n.

    Args:
        predictions: of a split.
        temperature: the logits are divided by it; the prediction stays the same.
        bins: number of bins of the confidence 0..1.
    """
    confidence = scaled_confidence(predictions, temperature)
    edges = np.linspace(0, 1, bins + 1)
    places = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    n = np.bincount(places, minlength=bins)
    sums = np.bincount(places, confidence, bins)
    hits = np.bincount(places, predictions.right, bins)
    low, high = wilson_intervals(hits, n)
    with np.errstate(invalid="ignore"):
        table = pd.DataFrame(
            {
                "low": edges[:-1],
                "high": edges[1:],
                "n": n,
                "confidence": sums / n,
                "accuracy": hits / n,
                "accuracy_low": low,
                "accuracy_high": high,
            }
        )
    return Calibration(float(np.abs(hits - sums).sum() / len(predictions)), table)


def fit_temperature(predictions: Predictions) -> float:
    """Return the temperature that minimizes the cross entropy of a split (Guo et al. 2017, section 4.2).

    The logits are divided by it: above 1 the model was too sure of itself. It is fitted on the validation split, never
    on the split whose calibration is reported. 1.0 if no prediction is wrong, since then every lower temperature is
    better.
    """
    from scipy.optimize import minimize_scalar

    if predictions.right.all():
        return 1.0
    logs = predictions.log_probabilities()
    low, high = map(math.log, _TEMPERATURES)
    found = minimize_scalar(
        lambda log_t: _mean_loss(logs, predictions.truth, math.exp(log_t)),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return float(math.exp(found.x))


def scaled_cross_entropy(predictions: Predictions, temperature: float) -> float:
    """Return the mean cross entropy in nats, with the logits divided by a temperature."""
    return _mean_loss(predictions.log_probabilities(), predictions.truth, temperature)


def scaled_confidence(predictions: Predictions, temperature: float) -> np.ndarray:
    """Return the probability of the most probable class, (N,) float64, with the logits divided by a temperature."""
    if temperature == 1:
        return predictions.confidence.astype(float)
    logs = predictions.log_probabilities() / temperature
    return np.exp(logs.max(axis=1) - _log_sum(logs))


def coverage(predictions: Predictions) -> pd.DataFrame:
    """Return the accuracy on the surest images: what a model reaches that may abstain from the others.

    Returns:
        at most 100 rows, by rising coverage: coverage (share of images that are answered, 0..1), threshold (the least
        confidence among them), accuracy, accuracy_low, accuracy_high (95%, Wilson), n (images answered).
    """
    return answered(predictions, [percent / 100 for percent in range(1, 101)])


def answered(predictions: Predictions, shares: Sequence[float]) -> pd.DataFrame:
    """Return rows of `coverage` for these shares of the images; images of the same confidence stay together."""
    sorted_, hits = _by_confidence(predictions)
    wanted = {max(round(share * len(sorted_)), 1) for share in shares}
    n = np.array(sorted({int(np.searchsorted(-sorted_, -sorted_[count - 1], side="right")) for count in wanted}))
    low, high = wilson_intervals(hits[n - 1], n)
    return pd.DataFrame(
        {
            "coverage": n / len(sorted_),
            "threshold": sorted_[n - 1].astype(float),
            "accuracy": hits[n - 1] / n,
            "accuracy_low": low,
            "accuracy_high": high,
            "n": n,
        }
    )


def threshold_for(predictions: Predictions, accuracy: float) -> float | None:
    """Return the least confidence from which on answers have the wanted accuracy, so that most images are answered.

    Choose it on the validation split, and measure on the test split what it reaches: on the images by which it was
    chosen the accuracy is a little too high.

    Args:
        predictions: of a split.
        accuracy: wanted, 0..1.

    Returns:
        the threshold; None if not even the surest images reach the accuracy.
    """
    sorted_, hits = _by_confidence(predictions)
    last_of_equals = np.append(sorted_[1:] < sorted_[:-1], True)
    reached = np.flatnonzero(last_of_equals & (hits >= accuracy * np.arange(1, len(hits) + 1)))
    return float(sorted_[reached[-1]]) if len(reached) else None


def _by_confidence(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Return confidences, falling, and the number of correct predictions down to each, both (N,)."""
    confidence = predictions.confidence
    order = np.argsort(-confidence, kind="stable")
    return confidence[order], np.cumsum(predictions.right[order])


def _mean_loss(logs: np.ndarray, truth: np.ndarray, temperature: float) -> float:
    scaled = logs / temperature
    return float(np.mean(_log_sum(scaled) - scaled[np.arange(len(truth)), truth]))


def _log_sum(logits: np.ndarray) -> np.ndarray:
    """Return log(sum(exp(row))), (N,); `scipy.special.logsumexp` takes twice as long."""
    highest = logits.max(axis=1)
    return highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))

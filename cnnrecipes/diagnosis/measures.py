"""Quantities that several findings share: accuracies with their source, gaps with their errors, trends of the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cnnrecipes.diagnosis.evidence import Evidence
from cnnrecipes.diagnosis.history import History, last_epochs, smoothed

IMBALANCED = 5.0  # images of the largest class relative to the smallest
BAD_FIT = 0.2  # training error
_GAP_SHARE = 0.5  # of the training error
_STOPPED = 0.02  # of the peak rate, at which hardly anything is learned
_EPOCHS = 6  # from which a rate that fell too early is judged
_EARLIER = 0.05  # accuracy in training mode above that of the predictions


@dataclass(frozen=True)
class Accuracy:
    """An accuracy and how it was measured.

    Attributes:
        value: 0..1.
        n: number of images; None if unknown.
        clean: True if it was measured in inference mode without augmentation.
        source: words that say how, for example "on 1,000 training images without augmentation".
    """

    value: float
    n: int | None
    clean: bool
    source: str

    @property
    def error(self) -> float:
        """Share of wrong predictions, 0..1."""
        return 1 - self.value

    @property
    def standard_error(self) -> float:
        """Standard error of the value (Agresti & Coull 1998: two successes and failures added); 0 if n is unknown."""
        if not self.n:
            return 0.0
        share = (self.value * self.n + 2) / (self.n + 4)
        return math.sqrt(share * (1 - share) / (self.n + 4))

    def __str__(self) -> str:
        return f"{self.value:.1%} {self.source}"


def training_accuracy(evidence: Evidence) -> Accuracy:
    """Return the training accuracy: without augmentation if it was measured, else that of the last epochs."""
    if evidence.train is not None and _shows_the_end(evidence):
        measured = evidence.train.n
        return Accuracy(
            evidence.train.accuracy, measured, True, f"on {measured:,} training images without augmentation"
        )
    history = evidence.history
    value = float(np.mean(history.accuracy[last_epochs(history)])) if len(history) else math.nan
    n = sum(evidence.training_images) if evidence.training_images else None
    return Accuracy(value, n, False, "in training (last epochs)")


def validation_accuracy(evidence: Evidence) -> Accuracy | None:
    """Return the validation accuracy of the run's model if it was measured, else of the last epochs; None without."""
    if evidence.validation is not None and _shows_the_end(evidence):
        measured = evidence.validation.n
        return Accuracy(evidence.validation.accuracy, measured, True, f"on {measured:,} validation images")
    history = evidence.history
    if not history.validated:
        return None
    values = history.val_accuracy[last_epochs(history)]
    n = evidence.validation_images
    source = f"on {n:,} validation images (last epochs)" if n else "in validation (last epochs)"
    return Accuracy(float(np.nanmean(values)), n, True, source)


def _shows_the_end(evidence: Evidence) -> bool:
    """Return False if the predictions are of weights that fit far worse than the last ones: those of an early epoch."""
    if evidence.train is None or not len(evidence.history):
        return True
    last = float(np.mean(evidence.history.accuracy[last_epochs(evidence.history)]))
    return evidence.train.accuracy >= last - _EARLIER


def gap(evidence: Evidence) -> tuple[float, float]:
    """Return training minus validation accuracy, and its standard error; (0, 0) without validation."""
    train, validation = training_accuracy(evidence), validation_accuracy(evidence)
    if validation is None:
        return 0.0, 0.0
    return train.value - validation.value, math.hypot(train.standard_error, validation.standard_error)


def fit_error(evidence: Evidence) -> float:
    """Return the share of training images that are not fitted, at most.

    Under augmentation training looks worse than it is, and the validation accuracy is a lower bound of the other.
    """
    train, validation = training_accuracy(evidence), validation_accuracy(evidence)
    return 1 - max(train.value, validation.value if validation and not train.clean else 0.0)


def fits_badly(evidence: Evidence) -> bool:
    """Return True if the training error is at least 20% and explains most of the validation error."""
    if not len(evidence.history) and evidence.train is None:
        return False
    train, (difference, error) = training_accuracy(evidence), gap(evidence)
    return fit_error(evidence) >= BAD_FIT and difference <= max(_GAP_SHARE * train.error, 2 * error)


def progress(evidence: Evidence) -> float:
    """Return how far the training accuracy, in training or in inference mode, is from chance (0) to perfect (1)."""
    history = evidence.history
    reached = float(np.mean(history.accuracy[last_epochs(history)]))
    reached = max(reached, evidence.train.accuracy) if evidence.train else reached
    return (reached - evidence.chance) / max(1 - evidence.chance, 1e-9)


def relative_improvement(values: np.ndarray, share: float = 1 / 3) -> float:
    """Return by which share a loss has fallen in the last `share` of the epochs; 0 for fewer than 3 epochs.

    The running median of three epochs is compared, at the start of that part and at the end.
    """
    if len(values) < 3:
        return 0.0
    calm = smoothed(values)
    start = min(round(len(values) * (1 - share)), len(values) - 2)
    before, after = float(calm[max(start - 1, 0)]), float(np.mean(values[-2:]))
    return (before - after) / max(abs(before), 1e-9)


def stopped_at(history: History) -> int | None:
    """Return the index of the epoch since which the rate is at most 2% of its peak, if that is most of the training.

    None for a training in which the rate fell later, as in all usual schedules, or of fewer than 6 epochs.
    """
    high = np.flatnonzero(history.rate_share > _STOPPED)
    since = int(high[-1]) + 1 if len(high) else 0
    return since if len(history) >= _EPOCHS and since < len(history) / 2 else None


def falling_share(values: np.ndarray) -> float:
    """Return the share of the epochs in which a value fell; 1 for one epoch."""
    return float(np.mean(np.diff(values) < 0)) if len(values) > 1 else 1.0


def jumps(values: np.ndarray, by: float) -> int:
    """Return the number of epochs in which a value rose by more than the share `by`."""
    return int(np.sum(np.diff(values) > by * np.abs(values[:-1])))


def imbalance(evidence: Evidence) -> float:
    """Return the training images of the largest class relative to the smallest; 1 if unknown."""
    counts = [n for n in evidence.training_images or () if n]
    return max(counts) / min(counts) if counts else 1.0


def percent(value: float) -> str:
    """Return a share as text, for example "64.2%"."""
    return f"{value:.1%}"

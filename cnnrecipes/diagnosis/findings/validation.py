"""The validation itself: noisy, better than training, or too small to tell differences."""

from __future__ import annotations

import math

import numpy as np

from cnnrecipes.diagnosis import remedies
from cnnrecipes.diagnosis.evidence import Evidence
from cnnrecipes.diagnosis.finding import Finding, finds
from cnnrecipes.diagnosis.history import History, last_epochs
from cnnrecipes.diagnosis.measures import percent, validation_accuracy
from cnnrecipes.runs.intervals import wilson

_EPOCHS = 6  # from which noise is judged
_LEAST = 3  # epochs whose differences tell noise
_NOISE = 0.03  # standard deviation of the validation accuracy from epoch to epoch
_ABOVE_COUNTING = 2.5  # times the standard error of n images
_WIDE, _TOO_WIDE = 0.08, 0.15  # width of the 95% interval
_HIGH_RATE, _LOW_RATE = 0.5, 0.1  # of the peak
_BETTER = 0.02  # validation over training accuracy


@finds("noisy_validation", order=56, live=True)
def noisy_validation(evidence: Evidence) -> Finding | None:
    """Find a validation accuracy that jumps between epochs by more than the number of images explains."""
    history = evidence.history
    if len(history) < _EPOCHS or not history.validated:
        return None
    undecayed = history.rate_share[-1] > _HIGH_RATE
    late = slice(len(history) // (3 if undecayed else 2), len(history))
    if evidence.running and not evidence.recipe.optimizer.schedule.startswith("constant"):
        late = slice(max(late.start, _decayed_since(history)), len(history))  # noise falls with the rate
    accuracy = history.val_accuracy[late]
    if len(accuracy) < _LEAST:
        return None
    noise = float(np.std(np.diff(accuracy), ddof=1)) / math.sqrt(2)
    n, mean = evidence.validation_images, float(np.mean(accuracy))
    counting = math.sqrt(mean * (1 - mean) / n) if n else 0.0
    if noise < _NOISE or noise < _ABOVE_COUNTING * counting:
        return None
    facts = [
        f"the validation accuracy varies by {100 * noise:.1f} points from epoch to epoch since epoch "
        f"{history.epoch[late.start]:.0f}, between "
        f"{percent(float(np.min(accuracy)))} and {percent(float(np.max(accuracy)))}"
    ]
    if n:
        facts.append(f"{n:,} images explain {100 * counting:.1f} points")
    tries = [remedies.rate_times(evidence, 1 / 3, "smaller steps move the model less between epochs")]
    if undecayed:
        tries.insert(0, remedies.decaying_schedule(evidence))
    if evidence.recipe.optimizer.ema is None:
        tries.append(remedies.key("optimizer.ema", 0.999, "now none: validates an average of the weights"))
    return Finding("noisy_validation", "warning", "the validation is noisy", tuple(facts), tuple(tries))


def _decayed_since(history: History) -> int:
    """Return the index of the epoch since which the rate is at most a tenth of its peak; the length if it is not."""
    high = np.flatnonzero(history.rate_share > _LOW_RATE)
    return int(high[-1]) + 1 if len(high) else 0


@finds("validation_too_small", order=70)
def validation_too_small(evidence: Evidence) -> Finding | None:
    """Find a validation split whose accuracy has a 95% interval too wide to compare settings."""
    n, accuracy = evidence.validation_images, validation_accuracy(evidence)
    if not n or accuracy is None:
        return None
    low, high = wilson(round(accuracy.value * n), n)
    if high - low < _WIDE:
        return None
    too_wide = high - low >= _TOO_WIDE
    facts = (
        f"{accuracy.value:.1%} on {n:,} images has a 95% interval from {percent(low)} to {percent(high)}",
        f"it is known to within {100 * (high - low) / 2:.0f} points",
    )
    fraction = evidence.recipe.data.validation
    tries = (
        remedies.key(
            "data.validation", f"{min(max(3 * fraction, 0.2), 0.3):g}", f"now {fraction:g}, if the split is drawn"
        ),
        remedies.key("data.folds", 5, "one run for each data.fold from 0 to 4 validates all images; average them"),
    )
    return Finding(
        "validation_too_small",
        "warning" if too_wide else "note",
        "the validation split is too small to tell" if too_wide else "the validation split is small",
        facts,
        tries,
    )


@finds("validation_better", order=80)
def validation_better(evidence: Evidence) -> Finding | None:
    """Find a validation that is more accurate than training, and say why that is normal or what else it can be."""
    history = evidence.history
    if not history.validated or len(history) < 2:
        return None
    tail = last_epochs(history)
    train, validation = float(np.mean(history.accuracy[tail])), float(np.nanmean(history.val_accuracy[tail]))
    if validation - train < _BETTER:
        return None
    facts = [f"validation {percent(validation)}, training {percent(train)} in the last epochs"]
    reasons = _normal_reasons(evidence)
    if evidence.train is not None:
        facts.append(f"without augmentation and dropout, training is at {percent(evidence.train.accuracy)}")
    if reasons or (evidence.train is not None and evidence.train.accuracy >= validation - _BETTER):
        reasons = reasons or ["the training accuracy is the mean over the epoch, during which the model improves"]
        facts.append(f"that is normal: {' and '.join(reasons)}")
        return Finding("validation_better", "note", "validation is better than training", tuple(facts))
    facts.append("nothing in the recipe makes training harder than validation")
    why = "finds images that are in both splits, and classes that one split lacks"
    tries = (remedies.check_data(evidence, why),)
    return Finding("validation_better", "note", "validation is better than training", tuple(facts), tries)


def _normal_reasons(evidence: Evidence) -> list[str]:
    """Return what makes training images harder than validation images, or training mode less accurate."""
    found = []
    if evidence.mixes:
        found.append("training images are mixed, and a mixed image counts as right for its larger part alone")
    elif evidence.augments:
        found.append("training images are augmented, validation images are not")
    if evidence.drops:
        found.append("dropout is active in training only")
    if evidence.recipe.optimizer.ema is not None:
        found.append("the validated weights are an average")
    return found

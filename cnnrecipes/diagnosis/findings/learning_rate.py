"""Learning rates that are too high or too low, and trainings that do not learn for a reason that the history hides."""

from __future__ import annotations

import numpy as np

from cnnrecipes.diagnosis import remedies
from cnnrecipes.diagnosis.evidence import Evidence
from cnnrecipes.diagnosis.finding import Finding, finds
from cnnrecipes.diagnosis.history import last_epochs
from cnnrecipes.diagnosis.measures import (
    IMBALANCED,
    falling_share,
    imbalance,
    jumps,
    percent,
    progress,
    stopped_at,
    training_accuracy,
)
from cnnrecipes.diagnosis.regularization import hindrances
from cnnrecipes.diagnosis.usual_settings import peak_rate, rate_ratio
from cnnrecipes.diagnosis.watch_summary import RECENT

_STUCK = 0.05  # share of the way from chance to perfect
_GUESSING = 0.95  # times the loss of guessing, above which nothing is learned
_POOR = 0.9  # training accuracy below which a training is worth a suspicion of its rate
_HIGH, _LOW = 6.0, 1 / 20  # times the usual rate
_BELOW = 0.5  # of the usual rate, from which a slow fall is blamed on it
_EXTREME = 30.0  # times the usual rate, at which a poor fit needs no other symptom
_SPIKE = 1.3  # times the loss of chance, in any epoch
_RISE = 0.05  # relative rise of the loss of an epoch over the one before
_UPDATES_HIGH, _UPDATES_LOW = 3e-2, 1e-5  # norm of an update relative to that of the weights; 1e-3 is usual
_LATE = 0.6  # share of the fall of the loss
_HALF = 0.5  # of the peak rate
_NOTHING = 0.9  # times the loss of guessing: nothing was learned
_EPOCHS = 5  # from which trends are judged
_SLOW = 0.3  # progress of a training whose rate may be too low
_LINEAR = 0.5  # late over early fall of the loss
_EXPLAINS_HIGH = (
    "not_learning",
    "underfitting",
    "too_few_epochs",
    "plateau",
    "noisy_validation",
    "class_collapse",
    "stale_batch_norm",
    "regularization_too_strong",
    "validation_better",
)
_EXPLAINS_LOW = (
    "not_learning",
    "underfitting",
    "too_few_epochs",
    "plateau",
    "class_collapse",
    "stale_batch_norm",
    "regularization_too_strong",
    "validation_better",
)


@finds("rate_too_high", order=10, live=True)
def rate_too_high(evidence: Evidence) -> Finding | None:
    """Find a training that learns nothing, or only once the rate has fallen, or whose loss jumps."""
    if len(evidence.history) < 2 or not training_accuracy(evidence).value < _POOR:
        return None
    facts, stuck, far_above = _symptoms_of_high(evidence), _stuck(evidence), _far_above_usual(evidence)
    shown = facts and (far_above or stuck or len(facts) > 1 or _learned_nothing_before(evidence))
    extreme = (rate_ratio(evidence) or 0.0) > _EXTREME and not evidence.running
    shown = shown and (far_above or not hindrances(evidence)[0])  # strong dropout makes the loss jump, too
    if not (shown or (far_above and (stuck or extreme or _noisy(evidence)))):
        return None
    if stuck:
        facts.append(
            f"the training accuracy is {percent(_last_accuracy(evidence))}, that of guessing {percent(evidence.chance)}"
        )
    else:
        facts.append(f"the accuracy is {training_accuracy(evidence)}")
    facts += [far_above] if far_above else []
    ratio = max(rate_ratio(evidence) or 1.0, 1.0)
    return Finding(
        "rate_too_high",
        "error" if stuck else "warning",
        "the learning rate is too high",
        tuple(facts),
        (
            remedies.rate_times(evidence, 1 / min(max(ratio, 3.0), 100.0), "a smaller step"),
            remedies.find_rate(evidence),
            *remedies.longer_warmup(evidence),
        ),
        explains=_EXPLAINS_HIGH,
    )


@finds("rate_too_low", order=20, live=True)
def rate_too_low(evidence: Evidence) -> Finding | None:
    """Find a loss that falls slowly and steadily, far from its floor, at a rate far below the usual one."""
    history = evidence.history
    if len(history) < 2 or not training_accuracy(evidence).value < _POOR:
        return None
    far_below = _far_below_usual(evidence)
    share = 0.5 if far_below else 0.7  # few steps at a tiny rate fall by less than the noise of an epoch
    steady = falling_share(history.loss) >= share and jumps(history.loss, _RISE) == 0
    ratio = rate_ratio(evidence)
    slow = (ratio is None or ratio < _BELOW) and not hindrances(evidence)[0]
    slow = (
        slow and not evidence.running and progress(evidence) < _SLOW and len(history) >= _EPOCHS and _linear(evidence)
    )
    if not (steady and (far_below or slow)):
        return None
    first, last = float(history.loss[0]), float(history.loss[-1])
    facts = [
        f"the training loss falls steadily, but only from {first:.3f} to {last:.3f} in {len(history)} epochs",
        f"the accuracy is {training_accuracy(evidence)}",
        *([far_below] if far_below else []),
    ]
    ratio = ratio or 1.0
    return Finding(
        "rate_too_low",
        "error" if progress(evidence) < _SLOW else "warning",
        "the learning rate is too low",
        tuple(facts),
        (
            remedies.rate_times(evidence, min(max(1 / ratio, 10.0), 1000.0), "a larger step"),
            remedies.find_rate(evidence),
            remedies.more_epochs(evidence),
        ),
        explains=_EXPLAINS_LOW,
    )


@finds("not_learning", order=22, live=True)
def not_learning(evidence: Evidence) -> Finding | None:
    """Find a training accuracy that stays at chance for no reason that the history shows."""
    history = evidence.history
    if len(history) < 3 or not evidence.chance or not _stuck(evidence) or imbalance(evidence) >= IMBALANCED:
        return None
    facts = (
        f"after {len(history)} epochs the training accuracy is {percent(_last_accuracy(evidence))}, that of guessing "
        f"{percent(evidence.chance)}",
        f"the training loss is {history.loss[-1]:.3f}, that of guessing {evidence.chance_loss:.3f}",
    )
    tries = (remedies.overfit_check(evidence), remedies.find_rate(evidence))
    explained = ("underfitting", "too_few_epochs", "plateau", "regularization_too_strong", "class_collapse")
    return Finding("not_learning", "error", "the network learns nothing", facts, tries, explains=explained)


def _stuck(evidence: Evidence) -> bool:
    """Return True if training is not better than guessing, in accuracy and, where it is comparable, in loss."""
    if progress(evidence) >= _STUCK:
        return False
    loss = float(np.mean(evidence.history.loss[last_epochs(evidence.history)]))
    return not evidence.plain_loss or loss > _GUESSING * evidence.chance_loss or not evidence.chance


def _symptoms_of_high(evidence: Evidence) -> list[str]:
    """Return a sentence for each sign in the curves that the learning rate is too high."""
    history, found = evidence.history, []
    loss, chance = history.loss, evidence.chance_loss
    if evidence.plain_loss and np.nanmax(loss) > _SPIKE * chance:
        worst = int(np.nanargmax(loss))
        found.append(
            f"the training loss was {loss[worst]:.3g} in epoch {history.epoch[worst]:.0f}; guessing has {chance:.2f}"
        )
    rises = jumps(loss, _RISE)
    if rises >= max(2, 0.2 * len(history)):
        found.append(f"the training loss rose by more than {_RISE:.0%} in {rises} of {len(history)} epochs")
    late = _late_share(evidence)
    if late is not None and late > _LATE and stopped_at(history) is None:
        found.append(f"{late:.0%} of the fall of the loss came after the rate had fallen to half its peak")
    return found


def _learned_nothing_before(evidence: Evidence) -> bool:
    """Return True if the loss stayed near that of guessing until the rate had fallen to half its peak."""
    late, below = _late_share(evidence), _below_half(evidence)
    if late is None or below is None or late <= _LATE:
        return False
    return float(np.min(evidence.history.loss[:below])) > _NOTHING * evidence.chance_loss


def _noisy(evidence: Evidence) -> bool:
    """Return True if the validation loss was above twice that of chance although training was better than chance."""
    history = evidence.history
    if not history.validated:
        return False
    wild = (history.val_loss > 2 * evidence.chance_loss) & (history.accuracy > evidence.chance)
    return int(np.sum(wild)) >= max(2, 0.2 * len(history))


def _late_share(evidence: Evidence) -> float | None:
    """Return which share of the fall of the loss came after the rate was at half its peak, or None."""
    history, below = evidence.history, _below_half(evidence)
    if len(history) < _EPOCHS or below is None:
        return None
    start = min(float(history.loss[0]), evidence.chance_loss)  # above it, the fall is no learning
    fall = float(start - np.mean(history.loss[last_epochs(history)]))
    late = float(np.min(history.loss[:below]) - np.mean(history.loss[last_epochs(history)]))
    return late / fall if fall > 0.02 * abs(history.loss[0]) else None


def _below_half(evidence: Evidence) -> int | None:
    """Return the index of the first epoch after that of the peak whose rate is below half of it; None without one."""
    share = evidence.history.rate_share
    peak = int(np.argmax(share)) if len(share) else 0
    below = np.flatnonzero(share[peak:] < _HALF)
    return peak + int(below[0]) if len(below) else None


def _linear(evidence: Evidence) -> bool:
    """Return True if the loss falls as fast in the later as in the earlier half of the epochs with a high rate."""
    history = evidence.history
    loss = history.loss[history.rate_share > 0.3]
    if len(loss) < 4:
        return False
    middle = len(loss) // 2
    early, late = float(loss[0] - loss[middle]), float(loss[middle] - loss[-1])
    return early > 0 and late > _LINEAR * early


def _far_above_usual(evidence: Evidence) -> str | None:
    updates, ratio = _median_update(evidence), rate_ratio(evidence)
    if updates is not None and updates > _UPDATES_HIGH:
        return f"a step changes the weights by {updates:.1%} of their norm (median of the layers); 0.1% is usual"
    return _against_usual(evidence, ratio) if ratio is not None and ratio > _HIGH else None


def _far_below_usual(evidence: Evidence) -> str | None:
    updates, ratio = _median_update(evidence), rate_ratio(evidence)
    low = updates is not None and updates < _UPDATES_LOW * _recent_rate_share(evidence)
    if low and stopped_at(evidence.history) is None:
        return f"a step changes the weights by {updates:.1e} of their norm (median of the layers); 1e-3 is usual"
    return _against_usual(evidence, ratio) if ratio is not None and ratio < _LOW else None


def _median_update(evidence: Evidence) -> float | None:
    """Return the median over the layers of the update relative to the weights; None if it was not recorded."""
    ratios = [layer.update_ratio for layer in evidence.layers if layer.update_ratio > 0]
    return float(np.median(ratios)) if ratios else None


def _recent_rate_share(evidence: Evidence) -> float:
    """Return the rate relative to its peak in the last third of the epochs, in which the updates were recorded.

    A schedule that has decayed to almost nothing makes updates that small, whatever its peak.
    """
    share = evidence.history.rate_share
    return float(np.median(share[-max(round(len(share) * RECENT), 1) :])) if len(share) else 1.0


def _against_usual(evidence: Evidence, ratio: float) -> str:
    name = evidence.recipe.optimizer.name
    batch = evidence.recipe.data.batch_size
    return f"the peak rate {peak_rate(evidence):g} is {ratio:.2g} times the usual one of {name} at batches of {batch}"


def _last_accuracy(evidence: Evidence) -> float:
    return float(np.mean(evidence.history.accuracy[last_epochs(evidence.history)]))

"""Divergence: the loss became NaN or infinite, or exploded."""

from __future__ import annotations

import numpy as np

from cnnrecipes.diagnosis import remedies
from cnnrecipes.diagnosis.evidence import Evidence
from cnnrecipes.diagnosis.finding import Finding, Remedy, finds
from cnnrecipes.diagnosis.history import NOT_FINITE
from cnnrecipes.diagnosis.usual_settings import peak_rate, rate_ratio

_WORSE = 2.0  # times the best loss so far and above that of chance: not noise of an epoch's mean
_EXPLODED = 1.5  # times the loss of chance
_EXPLAINS = (
    "rate_too_high",
    "rate_too_low",
    "not_learning",
    "overfitting",
    "underfitting",
    "too_few_epochs",
    "plateau",
    "noisy_validation",
    "class_collapse",
    "stale_batch_norm",
    "validation_better",
    "regularization_too_strong",
)


@finds("divergence", order=0, live=True)
def divergence(evidence: Evidence) -> Finding | None:
    """Find a non-finite loss, or one that ends above that of a constant answer after it was lower."""
    facts = _facts(evidence)
    if facts is None:
        return None
    title, found = facts
    ratio = rate_ratio(evidence)
    if ratio is not None:
        found.append(f"the peak learning rate {peak_rate(evidence):g} is {ratio:.2g} times the usual one")
    return Finding("divergence", "error", title, tuple(found), tuple(_remedies(evidence)), explains=_EXPLAINS)


def _facts(evidence: Evidence) -> tuple[str, list[str]] | None:
    """Return title and facts; None if the loss did not diverge."""
    history, failure = evidence.history, evidence.failure
    if failure is not None:
        where = f"the loss became {failure.loss} in step {failure.step} (epoch {failure.epoch})"
        return "divergence", [f"{where} at a learning rate of {failure.learning_rate:.3g}"]
    if not len(history):
        return None
    if not history.loss[-1] < NOT_FINITE:
        return "divergence", [f"the loss of epoch {history.epoch[-1]:.0f} is above {NOT_FINITE:g}"]
    best, last, chance = float(np.min(history.loss)), float(history.loss[-1]), evidence.chance_loss
    if not evidence.plain_loss or last < _EXPLODED * chance:
        return None
    if last > _WORSE * best:
        epoch = int(history.epoch[int(np.argmin(history.loss))])
        return f"divergence since epoch {epoch}", [f"the training loss rose from {best:.3g} to {last:.3g}"]
    return "divergence", [f"the training loss is {last:.3g}, above the {chance:.2f} of a constant answer"]


def _remedies(evidence: Evidence) -> list[Remedy]:
    ratio, optimizer = rate_ratio(evidence) or 1.0, evidence.recipe.optimizer
    found = [remedies.rate_times(evidence, 1 / max(ratio, 10.0), "the usual cause"), remedies.find_rate(evidence)]
    found += remedies.longer_warmup(evidence)
    if optimizer.clip_norm is None:
        found.append(remedies.key("optimizer.clip_norm", 1, "now none: bounds a step"))
    if evidence.recipe.train.precision == "float16":
        found.append(remedies.key("train.precision", "bfloat16", "float16 ends at 65,504"))
    return found

"""Stale batch norm statistics: accurate in training mode, near chance in inference mode."""

from __future__ import annotations

import math

import numpy as np

from cnnrecipes.diagnosis import remedies
from cnnrecipes.diagnosis.evidence import Evidence
from cnnrecipes.diagnosis.finding import Finding, Remedy, finds
from cnnrecipes.diagnosis.measures import percent, validation_accuracy

_GAINED = 0.05  # validation accuracy with re-estimated statistics minus that without
_SIGNIFICANT = 3.0  # standard errors
_LEARNED = 0.3  # training accuracy over chance
_NEAR_CHANCE = 0.15  # of the way from chance to the training accuracy
_SMALLEST_BATCH = 8  # below it the statistics of a batch are too noisy
_NEVER_LOW = 2.0  # times the loss of guessing
_EXPLAINS = (
    "overfitting",
    "class_collapse",
    "noisy_validation",
    "underfitting",
    "too_few_epochs",
    "plateau",
    "regularization_too_strong",
)


@finds("stale_batch_norm", order=5, live=True)
def stale_batch_norm(evidence: Evidence) -> Finding | None:
    """Find batch norm statistics that do not fit the weights: proven by re-estimation, else suspected."""
    facts = _proof(evidence) if evidence.reestimated else _suspicion(evidence)
    if not facts:
        return None
    title = "stale batch norm statistics" if evidence.reestimated else "suspected: stale batch norm statistics"
    tries = [
        remedies.more_epochs(evidence),
        *_smaller_batches(evidence),
        remedies.key("model.norm", "group", "needs no statistics of batches"),
        Remedy(
            "check the momentum of your batch norms", "cnnrecipes' own have 0.9; with 0.99 they need 10 times the steps"
        ),
    ]
    return Finding("stale_batch_norm", "error", title, tuple(facts), tuple(tries), explains=_EXPLAINS)


def _smaller_batches(evidence: Evidence) -> list[Remedy]:
    """Return a quarter of the batch size, at least 8; [] for batches that are as small already."""
    now = evidence.recipe.data.batch_size
    smaller = max(now // 4, _SMALLEST_BATCH)
    if smaller >= now:
        return []
    return [remedies.key("data.batch_size", smaller, f"now {now}: more steps update the statistics more often")]


def _proof(evidence: Evidence) -> list[str]:
    """Return the facts if re-estimated statistics raise the validation accuracy significantly."""
    before, after = evidence.validation, evidence.reestimated
    if before is None or after is None:
        return []
    error = math.sqrt(sum(one.accuracy * (1 - one.accuracy) for one in (before, after)) / after.n)
    gained = after.accuracy - before.accuracy
    if gained < max(_GAINED, _SIGNIFICANT * error):
        return []
    return [
        f"with batch norm statistics re-estimated on training images, validation rises from "
        f"{percent(before.accuracy)} to {percent(after.accuracy)} (n = {after.n:,}); the weights are the same",
        f"in training mode the accuracy was {percent(float(np.nanmax(evidence.history.accuracy)))}",
    ]


def _suspicion(evidence: Evidence) -> list[str]:
    """Return the facts if training is far above chance, validation near it, and the norms may be batch norms."""
    history, validation = evidence.history, validation_accuracy(evidence)
    transfer = evidence.recipe.transfer
    frozen = transfer.how != "none" and transfer.batch_norm == "inference"
    if validation is None or not evidence.chance or evidence.recipe.model.norm not in (None, "batch") or frozen:
        return []
    train = float(np.mean(history.accuracy[-2:])) if len(history) else 0.0
    above = train - evidence.chance
    if len(history) < 2 or above < _LEARNED:
        return []
    near = validation.value - evidence.chance <= _NEAR_CHANCE * above
    # Overfitting begins with a low validation loss; this one was never low.
    never_low = evidence.plain_loss and float(np.nanmin(history.val_loss)) > _NEVER_LOW * evidence.chance_loss
    if not near and not never_low:
        return []
    if evidence.validation is not None and evidence.train is not None:
        # Without re-estimation in spite of predictions: the model has no batch norm, or validation is not that bad.
        return []
    facts = [f"training is at {percent(train)}, validation at {percent(validation.value)}"]
    if near:
        facts.append(f"guessing would reach {percent(evidence.chance)}: overfitting alone is rarely that bad")
    if never_low:
        lowest = float(np.nanmin(history.val_loss))
        facts.append(f"the validation loss was never below {lowest:.2f}; guessing has {evidence.chance_loss:.2f}")
    return facts

"""Bad fits to the training images: too few epochs, too much regularization, no decay, or too small a model."""

from __future__ import annotations

import numpy as np

from cnnrecipes.diagnosis import remedies
from cnnrecipes.diagnosis.evidence import Evidence
from cnnrecipes.diagnosis.finding import Finding, Remedy, finds
from cnnrecipes.diagnosis.findings.validation import noisy_validation
from cnnrecipes.diagnosis.measures import (
    BAD_FIT,
    fit_error,
    fits_badly,
    relative_improvement,
    stopped_at,
    training_accuracy,
    validation_accuracy,
)
from cnnrecipes.diagnosis.regularization import decays_too_fast, hindrances, less_regularization
from cnnrecipes.syntax.duration import TimeSpan

_SMALL_ERROR = 0.05
_IMPROVES, _IMPROVES_FAST = 0.2, 0.3  # relative fall of the loss in the last third of the epochs
_STILL_FALLS = 0.02  # relative fall of the loss in the last of few epochs
_FEW = 3  # epochs
_FLAT = 0.05
_UNDECAYED = 0.7  # rate at the end relative to the peak
_LONG = 6  # epochs
_EXPLAINED = (
    "underfitting",
    "too_few_epochs",
    "validation_better",
    "plateau",
    "not_learning",
    "noisy_validation",
    "class_collapse",
)

_EXPLAINED_BY_STOP = (
    "underfitting",
    "too_few_epochs",
    "rate_too_low",
    "not_learning",
    "validation_better",
    "class_collapse",
)


@finds("too_few_epochs", order=50)
def too_few_epochs(evidence: Evidence) -> Finding | None:
    """Find a training that ended while its loss was still falling fast."""
    history = evidence.history
    if not len(history) or not evidence.recipe.transfer.trains_by_steps:
        return None
    train, epochs = training_accuracy(evidence), len(history)
    unfitted = fit_error(evidence)
    if unfitted < _SMALL_ERROR or (epochs == 1 and unfitted < 2 * _SMALL_ERROR):
        return None
    improves = relative_improvement(history.loss)
    last = _last_fall(history.loss)
    enough = _IMPROVES if unfitted >= BAD_FIT else _IMPROVES_FAST
    if not ((epochs <= _FEW and last > _STILL_FALLS) or (epochs > _FEW and improves > enough)):
        return None
    facts = [f"the accuracy is {train}"]
    if epochs == 1:
        facts.insert(0, "one epoch shows no trend")
    elif epochs <= _FEW:
        facts.insert(0, f"the training loss still fell by {last:.0%} in the last of {epochs} epochs")
    else:
        facts.insert(0, f"the training loss still fell by {improves:.0%} in the last third of {epochs} epochs")
    if evidence.stopped:
        facts.append(f"it ended early: {evidence.stopped}")
    tries = [remedies.more_epochs(evidence, 10.0 if epochs <= _FEW else 3.0)]
    if evidence.stopped:
        tries = [*_longer(evidence), *tries]
    return Finding(
        "too_few_epochs",
        "warning",
        "the training is too short",
        tuple(facts),
        tuple(tries),
        explains=("underfitting", "class_collapse"),
    )


@finds("regularization_too_strong", order=45)
def regularization_too_strong(evidence: Evidence) -> Finding | None:
    """Find a model that fits badly although it could, under weight decay or dropout far above the usual."""
    if len(evidence.history) <= _FEW or stopped_at(evidence.history) is not None:
        return None
    facts, tries = hindrances(evidence)
    # Weights that shrink too fast move so far in a step that validation jumps, also where training fits.
    if not facts or not (fits_badly(evidence) or (decays_too_fast(evidence) and noisy_validation(evidence))):
        return None
    return Finding(
        "regularization_too_strong",
        "warning",
        "the regularization is too strong",
        (f"the accuracy is {training_accuracy(evidence)}", *facts),
        tuple(tries),
        explains=_EXPLAINED,
    )


@finds("plateau", order=55, live=True)
def plateau(evidence: Evidence) -> Finding | None:
    """Find a loss that stopped falling at a learning rate that never fell, or because the rate fell too early."""
    since = stopped_at(evidence.history)
    if since is not None:
        return _stopped(evidence, since)
    return None if evidence.running else _flat_at_high_rate(evidence)  # the rate may still fall


def _stopped(evidence: Evidence, since: int) -> Finding | None:
    """Return a finding if the model fits badly and the rate was next to nothing in most epochs."""
    history, train = evidence.history, training_accuracy(evidence)
    if fit_error(evidence) < _SMALL_ERROR:
        return None
    epoch, rate = int(history.epoch[since]), history.learning_rate[since]
    facts = (
        f"since epoch {epoch} of {len(history)} the learning rate is at most {rate:.2g}, "
        f"{history.rate_share[since]:.2g} times its peak",
        f"the training loss was {history.loss[since]:.3f} in that epoch and {history.loss[-1]:.3f} in the last",
        f"the accuracy is {train}",
    )
    tries = (remedies.decaying_schedule(evidence, "falls over the whole training"),)
    title = f"a plateau since epoch {epoch}: the learning rate fell too early"
    return Finding("plateau", "warning", title, facts, tries, explains=_EXPLAINED_BY_STOP)


def _flat_at_high_rate(evidence: Evidence) -> Finding | None:
    history = evidence.history
    if len(history) < _LONG or history.rate_share[-1] < _UNDECAYED:
        return None
    train, improves = training_accuracy(evidence), relative_improvement(history.loss)
    if fit_error(evidence) < _SMALL_ERROR or improves > _FLAT:
        return None
    start = flat_since(history.loss)
    facts = (
        f"the training loss has not fallen since epoch {int(history.epoch[start])} ({history.loss[-1]:.3f} at the end)",
        f"the learning rate is still {history.rate_share[-1]:.0%} of its peak",
        f"the accuracy is {train}",
    )
    tries = (remedies.decaying_schedule(evidence), remedies.rate_times(evidence, 0.1, "if the schedule has to stay"))
    return Finding(
        "plateau", "warning", f"a plateau since epoch {int(history.epoch[start])}", facts, tries, ("underfitting",)
    )


@finds("underfitting", order=60)
def underfitting(evidence: Evidence) -> Finding | None:
    """Find a model that fits its training images badly, with a small gap to validation, although its loss is flat."""
    if (len(evidence.history) <= 1 and evidence.train is None) or not fits_badly(evidence):
        return None
    train, validation = training_accuracy(evidence), validation_accuracy(evidence)
    facts = [f"the accuracy is only {train}" + (f", validation {validation.value:.1%}" if validation else "")]
    if len(evidence.history) > _FEW:
        improves = relative_improvement(evidence.history.loss)
        facts.append(f"the training loss changed by only {improves:.0%} in the last third of the epochs")
    if not evidence.recipe.transfer.trains_by_steps:
        adapt = (
            remedies.key("transfer.how", "finetune", "now features: adapts the backbone, which does not separate them"),
        )
        return Finding("underfitting", "warning", "underfitting", tuple(facts), adapt)
    larger = [
        _larger_model(evidence),
        *less_regularization(evidence),
        remedies.more_epochs(evidence),
        remedies.check_data(evidence, "wrong labels and unreadable images bound what any model can learn"),
    ]
    return Finding(
        "underfitting", "warning", "underfitting", tuple(facts), tuple(larger), explains=("plateau", "class_collapse")
    )


def flat_since(loss: np.ndarray) -> int:
    """Return the index of the first epoch whose loss is within 5% of the lowest one."""
    lowest = float(np.min(loss))
    return int(np.flatnonzero(loss <= lowest + _FLAT * abs(lowest))[0])


def _last_fall(loss: np.ndarray) -> float:
    """Return by which share the loss fell in the last epoch; 1 for one epoch."""
    return float((loss[-2] - loss[-1]) / max(abs(loss[-2]), 1e-9)) if len(loss) > 1 else 1.0


def _larger_model(evidence: Evidence) -> Remedy:
    """Return twice the widths, if the recipe has widths, or a larger architecture."""
    model = evidence.recipe.model
    if model.widths:
        wider = [2 * width for width in model.widths]
        return remedies.key("model.widths", f"'{wider}'", f"now {list(model.widths)}: a wider model")
    return Remedy("another model.name", f"now {model.name}: a larger model; `cnnrecipes models` lists them")


def _longer(evidence: Evidence) -> list[Remedy]:
    """Return later ends for a training that its recipe ended early."""
    train, found = evidence.recipe.train, []
    if train.early_stopping:
        found.append(
            remedies.key("train.early_stopping", 2 * train.early_stopping, f"now {train.early_stopping} epochs")
        )
    if train.time_budget:
        longer = TimeSpan(2 * train.time_budget.amount, train.time_budget.unit)
        found.append(remedies.key("train.time_budget", f"'{longer}'", f"now {train.time_budget}"))
    return found

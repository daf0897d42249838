"""Overfitting: training goes on to improve while validation does not, and since which epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cnnrecipes.diagnosis import remedies
from cnnrecipes.diagnosis.evidence import Evidence
from cnnrecipes.diagnosis.finding import Finding, Remedy, finds
from cnnrecipes.diagnosis.history import History, last_epochs, smoothed
from cnnrecipes.diagnosis.measures import fits_badly, gap, training_accuracy, validation_accuracy

_GAP = 0.1  # training over validation accuracy
_SIGNIFICANT = 2.5  # standard errors of the gap
_RISE = 1.2  # validation loss at the end relative to its minimum
_RISE_NATS = 0.05
_EPOCHS = 3
_POINT = 0.01
_SMALL_PHOTO = 160  # pixels


@dataclass(frozen=True)
class Turn:
    """The epoch from which the validation loss rises.

    Attributes:
        epoch: of the minimum of the validation loss, smoothed over three epochs.
        lowest, last: the validation loss there, and in the last epochs.
        accuracy_gained: validation accuracy in the last epochs minus that of `epoch`.
    """

    epoch: int
    lowest: float
    last: float
    accuracy_gained: float


@finds("overfitting", order=40, live=True)
def overfitting(evidence: Evidence) -> Finding | None:
    """Find a gap between training and validation that dominates the error, or a validation loss that has turned."""
    validation = validation_accuracy(evidence)
    if validation is None or (len(evidence.history) < _EPOCHS and evidence.train is None):
        return None
    train, turn = training_accuracy(evidence), turning_point(evidence.history)
    difference, error = gap(evidence)
    wide = difference >= _GAP and difference > _SIGNIFICANT * error and not fits_badly(evidence)
    turned = turn is not None and difference > _SIGNIFICANT * error and difference > _GAP / 2
    if not (wide or turned):
        return None
    lowest = _lowest_loss(evidence.history)
    since = turn.epoch if turn else lowest or _apart_since(evidence.history)
    facts = [f"accuracy {train}, {validation}: a gap of {100 * difference:.0f} points"]
    if turn:
        facts.append(
            f"the validation loss has risen from {turn.lowest:.3f} (epoch {turn.epoch}) to {turn.last:.3f}, while the "
            f"training loss fell to {evidence.history.loss[-1]:.3f}"
        )
        if turn.accuracy_gained > _POINT:
            facts.append(f"the validation accuracy still rose by {100 * turn.accuracy_gained:.1f} points since then")
    elif lowest:
        facts.append(f"the validation loss was lowest in epoch {lowest}")
    mild = not wide
    title = f"overfitting since epoch {since}" if since else "overfitting"
    return Finding(
        "overfitting",
        "note" if mild and turn and turn.accuracy_gained > _POINT else "warning",
        title,
        tuple(facts),
        tuple(_remedies(evidence, turn)),
        explains=("validation_better", "plateau", "too_few_epochs"),
    )


def turning_point(history: History) -> Turn | None:
    """Return where the validation loss began to rise while the training loss went on falling; None if it did not."""
    if len(history) < _EPOCHS + 2 or not history.validated:
        return None
    calm = smoothed(history.val_loss)
    lowest = int(np.nanargmin(calm))
    tail = last_epochs(history)
    last = float(np.mean(history.val_loss[tail]))
    if lowest >= tail.start or last < _RISE * calm[lowest] or last < calm[lowest] + _RISE_NATS:
        return None
    if not history.loss[tail].mean() < history.loss[lowest]:
        return None
    around = slice(max(lowest - 1, 0), lowest + 2)
    gained = float(history.val_accuracy[tail].mean() - history.val_accuracy[around].mean())
    return Turn(int(history.epoch[lowest]), float(calm[lowest]), last, gained)


def _lowest_loss(history: History) -> int | None:
    """Return the epoch of the lowest validation loss, smoothed; None if it is one of the last epochs."""
    if not len(history) or not history.validated:
        return None
    lowest = int(np.nanargmin(smoothed(history.val_loss)))
    return int(history.epoch[lowest]) if lowest < last_epochs(history).start else None


def _apart_since(history: History) -> int | None:
    """Return the first epoch from which training is always at least 5 points more accurate than validation."""
    apart = history.accuracy - history.val_accuracy > _GAP / 2
    if not len(apart) or not apart[-1]:
        return None
    together = np.flatnonzero(~apart)
    return int(history.epoch[together[-1] + 1]) if len(together) else int(history.epoch[0])


def _remedies(evidence: Evidence, turn: Turn | None) -> list[Remedy]:
    recipe = evidence.recipe
    if not recipe.transfer.trains_by_steps:
        return _remedies_of_features(evidence)
    if recipe.transfer.how != "none":
        return _remedies_of_finetuning(evidence)
    found = [remedies.more_augmentation(evidence), remedies.more_decay(evidence), remedies.more_dropout(evidence)]
    if turn and turn.accuracy_gained <= _POINT and recipe.train.early_stopping is None:
        found.append(remedies.key("train.early_stopping", 5, f"now none: nothing was gained after epoch {turn.epoch}"))
    if recipe.model.weights == "none":
        found.append(remedies.finetuning(evidence))
    return [one for one in [*found, remedies.learning_curve(evidence)] if one is not None]


def _remedies_of_finetuning(evidence: Evidence) -> list[Remedy]:
    """Return remedies that adapt less of a pretrained backbone, and give it images of the size it knows."""
    table, size, found = evidence.recipe.transfer, evidence.image_size, []
    if size and min(size) < _SMALL_PHOTO:
        found.append(
            remedies.key("data.image_size", 224, f"now {size[0]}x{size[1]}: backbones are trained on larger ones")
        )
    if table.how == "finetune" and table.train_from == "all":
        found.append(remedies.key("transfer.train_from", "stage4", "now all: trains fewer layers"))
    if table.how == "lora":
        found.append(remedies.key("transfer.rank", max(table.rank // 2, 1), f"now {table.rank}: smaller updates"))
    found.append(
        remedies.key("transfer.how", "features", f"now {table.how}: the head alone, often as good on few images")
    )
    more = [remedies.learning_curve(evidence), remedies.more_decay(evidence), remedies.more_dropout(evidence)]
    return [one for one in [*found, *more] if one is not None]


def _remedies_of_features(evidence: Evidence) -> list[Remedy]:
    """Return remedies for a logistic head on frozen features, whose L2 strength is chosen already."""
    views = evidence.recipe.transfer.views
    more = remedies.key("transfer.views", views + 4, f"now {views}: features of augmented views, with augment.ops")
    adapt = remedies.key("transfer.how", "finetune", "now features: adapts the backbone too")
    return [more, adapt, remedies.learning_curve(evidence)]

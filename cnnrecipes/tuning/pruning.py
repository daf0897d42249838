"""Pruning: rules that end a trial early by its validation results so far, read from the histories of all trials."""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import keras

from cnnrecipes.recipe.search import HalvingPruning, MedianPruning, Pruning
from cnnrecipes.runs.checkpoint import Checkpoint
from cnnrecipes.training.train_job import TrainJob

Curve = Mapping[int, float]  # epoch, from 1 -> the objective
PRUNED_AFTER = "pruned after epoch "  # how the reason begins with which a training ends


@dataclass(frozen=True)
class Others:
    """The curves of the other trials of a search.

    Attributes:
        completed: of those that were trained to their end.
        all: of these, and of pruned and running ones.
    """

    completed: Sequence[Curve]
    all: Sequence[Curve]


def reason_to_prune(rule: Pruning, own: Curve, others: Others, *, maximizes: bool) -> str | None:
    """Return why a trial is pruned after its latest epoch, as part of a sentence; None if it goes on.

    Args:
        own: the trial's own values, with the latest epoch.
        maximizes: larger values are better.
    """
    epoch = max(own)
    if isinstance(rule, MedianPruning):
        return _median(rule, epoch, own, others.completed, maximizes)
    if isinstance(rule, HalvingPruning):
        return _halving(rule, epoch, own, others.all, maximizes)
    return None


def _median(rule: MedianPruning, epoch: int, own: Curve, completed: Sequence[Curve], maximizes: bool) -> str | None:
    """Apply the rule of Optuna's MedianPruner: the best value so far against the median of the others at this epoch."""
    if len(completed) < max(rule.startup, 1) or epoch <= rule.warmup or (epoch - rule.warmup - 1) % rule.interval:
        return None
    values = [value for value in own.values() if not math.isnan(value)]
    if not values:
        return "its objective is NaN"
    best = max(values) if maximizes else min(values)
    at_epoch = [curve[epoch] for curve in completed if epoch in curve and not math.isnan(curve[epoch])]
    if not at_epoch:
        return None
    median = statistics.median(at_epoch)
    if best >= median if maximizes else best <= median:
        return None
    return f"its best {best:.4g} is worse than {median:.4g}, the median of {len(at_epoch)} completed trials"


def _halving(rule: HalvingPruning, epoch: int, own: Curve, others: Sequence[Curve], maximizes: bool) -> str | None:
    """Apply the rule of Optuna's SuccessiveHalvingPruner at a rung: only one trial in `factor` passes it."""
    rung = rule.first
    while rung < epoch:
        rung *= rule.factor
    if rung != epoch:
        return None
    value = own[epoch]
    if math.isnan(value):
        return "its objective is NaN"
    values = [value, *(curve[epoch] for curve in others if epoch in curve and not math.isnan(curve[epoch]))]
    values.sort(reverse=maximizes)
    # Of fewer than `factor` trials the best one passes.
    bound = values[max(len(values) // rule.factor - 1, 0)]
    if value >= bound if maximizes else value <= bound:
        return None
    return f"its {value:.4g} is not among the best 1/{rule.factor} of {len(values)} trials, from {bound:.4g}"


def without_stop(found: Checkpoint) -> Checkpoint:
    """Return the checkpoint of a training that `StopTrial` has ended, so that it continues; others are unchanged."""
    reason = found.state.stop_reason
    if reason is None or not reason.startswith(PRUNED_AFTER):
        return found
    return replace(found, state=replace(copy.deepcopy(found.state), stop_reason=None))


class StopTrial(keras.callbacks.Callback):
    """Ends a training after an epoch for which `reason` returns a text; must follow all other callbacks.

    The training state has the reason, and a checkpoint is written, so that the run can be continued.

    Args:
        job: the training.
        reason: function from the values of the objective so far, by epoch, to a text or None.
        column: the objective's column of the history.
    """

    def __init__(self, job: TrainJob, reason: Callable[[Curve], str | None], column: str):
        super().__init__()
        self.job, self.reason, self.column = job, reason, column

    def on_epoch_end(self, epoch, logs=None):
        """End the training if there is a reason."""
        state = self.job.model.progress
        if state.epoch >= self.job.recipe.train.epochs or state.stop_reason or self.column not in state.history[-1]:
            return
        own = {int(row["epoch"]): row[self.column] for row in state.history}
        if why := self.reason(own):
            state.stop_reason = f"{PRUNED_AFTER}{state.epoch}: {why}"
            self.model.stop_training = True

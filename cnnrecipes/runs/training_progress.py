"""`TrainState`: the progress of a training, given to every callback and recorded in checkpoints as it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cnnrecipes.errors import RunError


@dataclass
class TrainState:
    """All mutable progress of a training besides its variables (weights, optimizer, averages, metrics).

    Attributes:
        steps_per_epoch: optimizer steps per epoch.
        epoch: completed epochs.
        step: completed steps of the current epoch.
        steps_per_execution: steps per call of the training function; does not affect the result.
        seconds_per_execution: median seconds of such a call; None before the first.
        epoch_seconds: seconds of the current epoch's steps.
        history: one row per completed epoch, as in history.csv.
        best_epoch: number of the epoch, from 1, with the best validation; None before the first validation.
        best_score: score of the best epoch; larger is better, entry by entry.
        epochs_without_improvement: epochs since the best one, for early stopping.
        epochs_at_this_rate: epochs without improvement since the learning rate was last lowered, for plateaus.
        seconds: seconds of the training until its last step, over all resumes.
        validation_seconds: seconds of the last validation.
        seconds_per_image: estimated seconds per image of an evaluation.
        validation_timed: True if `seconds_per_image` was measured in a validation.
        stop_reason: reason for ending the training before its last epoch; None: not ended early.
    """

    steps_per_epoch: int
    epoch: int = 0
    step: int = 0
    steps_per_execution: int = 1
    seconds_per_execution: float | None = None
    epoch_seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int | None = None
    best_score: list[float] | None = None
    epochs_without_improvement: int = 0
    epochs_at_this_rate: int = 0
    seconds: float = 0.0
    validation_seconds: float = 0.0
    seconds_per_image: float = 0.0
    validation_timed: bool = False
    stop_reason: str | None = None

    @property
    def total_steps(self) -> int:
        """Completed steps since the start of the training."""
        return self.epoch * self.steps_per_epoch + self.step

    def next_epoch(self) -> None:
        """Move to the start of the next epoch."""
        self.epoch, self.step, self.epoch_seconds = self.epoch + 1, 0, 0.0

    def extended(self) -> TrainState:
        """Return a copy for an extension of the training, with the counters of early stopping and plateaus reset."""
        return dataclasses.replace(self, epochs_without_improvement=0, epochs_at_this_rate=0, stop_reason=None)

    def record(self) -> dict[str, Any]:
        """Return all attributes as a dict of JSON types, which a checkpoint records."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> TrainState:
        """Create the TrainState that a checkpoint records.

        Raises RunError for a record of a newer version of cnnrecipes.
        """
        known = {attribute.name for attribute in dataclasses.fields(cls)}
        if unknown := sorted(record.keys() - known):
            raise RunError(
                f"the training state has {', '.join(unknown)}, which this version of cnnrecipes does not know; "
                "use the version that wrote it (environment.json names it)"
            )
        return cls(**record)

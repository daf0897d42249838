"""Adaptation of the warm-up and schedule durations of a recipe to another number of epochs.

Durations in a recipe file that exceed its `train.epochs` are an error. If a user overrides `train.epochs`, durations
that no longer fit are multiplied by the ratio of the epochs, so that the schedule keeps its shape.
"""

from __future__ import annotations

import math
from typing import Protocol

from cnnrecipes.optim.schedule_registry import SCHEDULES, Piece, in_epochs
from cnnrecipes.syntax.call_syntax import write_call
from cnnrecipes.syntax.duration import Duration

_DIGITS = 4  # significant digits of a scaled duration


class Timing(Protocol):
    """Protocol of objects with a warm-up and a schedule, for example the `optimizer` table of a recipe."""

    warmup: Duration
    schedule: str


class Length(Protocol):
    """Protocol of objects with a number of epochs, for example the `train` table of a recipe."""

    epochs: int


def fit(warmup: Duration, schedule: str, epochs: int) -> bool:
    """Return True if warm-up and schedule fit into this number of epochs; durations in steps are not checked."""
    before = in_epochs(warmup, epochs)
    return before < epochs and SCHEDULES.parse(schedule).has_room(before, epochs)


def scaled(duration: Duration, share: float) -> Duration:
    """Scale a duration in epochs or steps, rounded down to four significant digits; percentages are unchanged."""
    if duration.unit == "%" or not duration.amount:
        return duration
    amount = duration.amount * share
    unit = 10.0 ** (math.floor(math.log10(amount)) - _DIGITS + 1)
    return Duration(float(f"{math.floor(amount / unit + 1e-6) * unit:.{_DIGITS}g}"), duration.unit)


def scaled_schedule(schedule: str, share: float) -> str:
    """Return the call syntax of a schedule with its durations scaled; `schedule` itself without durations."""
    method = SCHEDULES.parse(schedule)
    if not any(True for _ in method.durations()):
        return schedule
    return write_call(method.with_durations(lambda duration: scaled(duration, share)), SCHEDULES)


def clipped(optimizer: Timing, train: Length, steps_per_epoch: int) -> dict[str, str]:
    """Return values of `optimizer.warmup` and `optimizer.schedule` that fit into a shorter training.

    A warm-up is shortened to 10% of the run; milestones after its end are dropped. Without changes the dict is empty.
    """
    total, found = train.epochs * steps_per_epoch, {}
    if optimizer.warmup.steps(steps_per_epoch, total) >= total:
        found["optimizer.warmup"] = "10%"
    method = SCHEDULES.parse(optimizer.schedule)
    left = method.clipped(Piece(steps_per_epoch, total))
    if left != method:
        found["optimizer.schedule"] = write_call(left, SCHEDULES)
    return found

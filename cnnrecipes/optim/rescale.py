"""Rescaling of warm-up and schedule durations that do not fit after a change of `train.epochs`.

A recipe file whose durations do not fit is an error. If a user overrides `train.epochs`, durations that no longer fit
are scaled by the ratio of the epochs, so that the schedule keeps its shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from cnnrecipes.optim import methods
from cnnrecipes.syntax.call_syntax import write_call
from cnnrecipes.syntax.duration import Duration

_DIGITS = 4  # significant digits of a scaled duration


def fit(warmup: Duration, schedule: str, epochs: int) -> bool:
    """Return whether warm-up and schedule fit in this number of epochs; durations in steps are not checked."""
    method = methods.schedule(schedule)
    before, inside = _epochs(warmup, epochs), [_epochs(one, epochs) for one in _durations(method)]
    if isinstance(method, (methods.Trapezoid, methods.WarmRestarts)):
        inside = [before + one for one in inside]
        return before < epochs and all(one <= epochs for one in inside)
    if isinstance(method, methods.Exponential):
        inside = []  # the decay interval may exceed the training
    return all(one < epochs for one in [before, *inside])


def scaled(duration: Duration, share: float) -> Duration:
    """Scale a duration in epochs or steps, truncated (never rounded up) to four digits; percentages are unchanged."""
    if duration.unit == "%" or not duration.amount:
        return duration
    amount = duration.amount * share
    unit = 10.0 ** (math.floor(math.log10(amount)) - _DIGITS + 1)
    return Duration(float(f"{math.floor(amount / unit + 1e-6) * unit:.{_DIGITS}g}"), duration.unit)


def scaled_schedule(schedule: str, share: float) -> str:
    """Return the call syntax of a schedule with its durations scaled."""
    method = methods.schedule(schedule)
    longer = {name: _each(value, share) for name, value in method if _is_length(value)}
    return write_call(method.model_copy(update=longer), methods.SCHEDULES) if longer else schedule


def _epochs(duration: Duration, epochs: int) -> float:
    return {"epochs": duration.amount, "%": duration.amount / 100 * epochs, "steps": 0.0}[duration.unit]


def _durations(method: methods.Schedule) -> Iterable[Duration]:
    for _, value in method:
        if _is_length(value):
            yield from value if isinstance(value, tuple) else (value,)


def _is_length(value: Any) -> bool:
    return isinstance(value, Duration) or (isinstance(value, tuple) and all(isinstance(one, Duration) for one in value))


def _each(value: Duration | tuple[Duration, ...], share: float) -> Duration | tuple[Duration, ...]:
    return tuple(scaled(one, share) for one in value) if isinstance(value, tuple) else scaled(value, share)

"""The time of a training step by its parts, from the record of `profile`, as two bars with their numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cnnrecipes.figures.svg import chart, label

_KINDS = {
    "waiting for input": "other",
    "augmentation": "run3",
    "forward": "run0",
    "backward": "run1",
    "update": "run2",
    "read": "run5",
    "decode": "run4",
}
_EXACT = 0.005
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _ROW = 520.0, 84.0, 92.0, 510.0, 26.0


@dataclass(frozen=True)
class StepTime:
    """A step of the training by its parts.

    Attributes:
        chart: the bars of the step, and of the input pipeline alone.
        tables: of the step, and of the input pipeline alone: title, milliseconds, and of each part its name, class in
            the style sheet, milliseconds and share.
        error: by how much the sum of the parts differs from the step, "3% more"; "" if it does not.
        conclusion: what limits the speed.
        about: model, device and batch size.
    """

    chart: Markup
    tables: list[tuple[str, str, list[tuple[str, str, str, str]]]]
    error: str
    conclusion: str
    about: str


def step_time(record: Mapping[str, Any] | None) -> StepTime | None:
    """Return the record of a profile as bars; None without one, or if it is damaged."""
    if record is None:
        return None
    try:
        parts = {name: _seconds(record["parts"][name]) for name in _KINDS if name in record["parts"]}
        shares = {name: _seconds(record["input_shares"][name]) for name in _KINDS if name in record["input_shares"]}
        training, alone = _seconds(record["training"]), _seconds(record["input"])
        about = f"{record['model']} on {record['device']}, batches of {int(record['batch_size']):,}"
        conclusion = str(record["conclusion"])
    except (KeyError, TypeError, ValueError):
        return None
    parts = {name: seconds for name, seconds in parts.items() if seconds > 0}
    if not parts or training <= 0:
        return None
    error = sum(parts.values()) / training - 1
    of_input = {name: share * alone for name, share in shares.items() if share * alone > 0}
    return StepTime(
        chart=_bars(parts, of_input),
        tables=[
            ("step of the training", _milliseconds(training), _rows(parts, training)),
            ("input pipeline alone", _milliseconds(alone), _rows(of_input, alone)),
        ],
        error="" if abs(error) < _EXACT else f"{abs(error):.0%} {'more' if error > 0 else 'less'}",
        conclusion=conclusion,
        about=about,
    )


def _seconds(value: Any) -> float:
    found = float(value)
    if not math.isfinite(found) or found < 0:
        raise ValueError(f"{value} is no time")
    return found


def _rows(parts: Mapping[str, float], whole: float) -> list[tuple[str, str, str, str]]:
    return [(name, _KINDS[name], _milliseconds(one), f"{one / whole:.0%}") for name, one in parts.items()]


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:,.3g}" if seconds < 1 else f"{1e3 * seconds:,.0f}"


def _bars(step: Mapping[str, float], of_input: Mapping[str, float]) -> Markup:
    """Return the bars, one below the other, at one scale."""
    most = max(sum(step.values()), sum(of_input.values()))
    shapes = []
    for number, (title, parts) in enumerate((("step", step), ("input alone", of_input))):
        top = 6 + number * (_ROW + 12)
        shapes.append(label(_LEFT - 8, top + _ROW / 2 + 4, title, anchor="end", kind="t"))
        start = _LEFT
        for name, seconds in parts.items():
            width = seconds / most * (_RIGHT - _LEFT)
            shapes.append(
                f"<rect class='part {_KINDS[name]}' x='{start:.1f}' y='{top:g}' width='{max(width - 1, 0.5):.1f}' "
                f"height='{_ROW:g}'/>"
            )
            if len(name) * 7.2 + 8 < width:
                shapes.append(label(start + width / 2, top + _ROW / 2 + 4, name, anchor="middle", kind="inside"))
            start += width
    words = "; ".join(
        f"{title}: {', '.join(f'{name} {_milliseconds(one)} ms' for name, one in parts.items())}"
        for title, parts in (("step of the training", step), ("input pipeline alone", of_input))
        if parts
    )
    return Markup(chart(_WIDTH, _HEIGHT, "Time of a step by its parts", words, shapes, name="step-time"))

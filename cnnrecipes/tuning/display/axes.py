"""Plot axes of a search: the position, from 0 to 1, of a key's value or of a score, and its label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cnnrecipes._support.console import printable
from cnnrecipes.figures.number_axis import NumberAxis, Tick
from cnnrecipes.recipe.ranges import Choice, Log, LogInt, Range
from cnnrecipes.recipe.space import Entry, shown_choice

_LOG_RATIO = 20.0  # of the largest to the smallest loss, from which the axis of losses is logarithmic
_MARGIN = 0.04  # of the range of scores, on either side


@dataclass(frozen=True)
class ChoiceAxis:
    """A plot axis of choices, at equal distances, in the order of the search space."""

    choices: tuple[Any, ...]

    def place(self, value: Any) -> float | None:
        """Return the place of a value, strictly between 0 and 1; None if it is no choice."""
        return (self.choices.index(value) + 0.5) / len(self.choices) if value in self.choices else None

    def text(self, value: Any) -> str:
        """Return the label of a choice on the axis."""
        return shown_value(value)

    def ticks(self, most: int = 12) -> list[Tick]:
        """Return a tick for each choice; of more than `most` choices, for some of them."""
        every = -(-len(self.choices) // most)
        count = len(self.choices)
        return [Tick((i + 0.5) / count, shown_value(self.choices[i])) for i in range(0, count, every)]


Axis = NumberAxis | ChoiceAxis


def key_axis(entry: Entry) -> Axis:
    """Return the plot axis of a key of the search space; logarithmic if the space is so for this key."""
    values = entry.values
    if isinstance(values, Choice):
        return ChoiceAxis(values.values)
    assert isinstance(values, Range)
    low, high = values.ends
    if low == high:  # of a step that is as wide as the range
        return ChoiceAxis((low,))
    return NumberAxis(low, high, log=isinstance(values, (Log, LogInt)), whole=isinstance(low, int))


def score_axis(scores: Sequence[float], objective: str) -> NumberAxis:
    """Return a plot axis that all scores fit on; logarithmic for losses that differ by orders of magnitude."""
    found = [one for one in scores if math.isfinite(one)] or [0.0, 1.0]
    low, high = min(found), max(found)
    if objective == "val_accuracy":
        room = max((high - low) * _MARGIN, 0.005)
        return NumberAxis(max(low - room, 0.0), min(high + room, 1.0), percent=True)
    if low > 0 and high / low > _LOG_RATIO:
        room = (high / low) ** _MARGIN
        return NumberAxis(low / room, high * room, log=True)
    room = max((high - low) * _MARGIN, abs(high) * 0.01, 1e-9)
    return NumberAxis(low - room, high + room)


def shown_score(score: float | None, objective: str) -> str:
    """Return a score as text: an accuracy in percent, a loss with 4 significant digits."""
    if score is None or not math.isfinite(score):
        return "none"
    return f"{score:.2%}" if objective == "val_accuracy" else f"{score:.4g}"


def shown_value(value: Any) -> str:
    """Return the value of a key as text of one line: numbers with 4 significant digits, other values as in TOML."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return printable(shown_choice(value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return printable(value)

"""Plot axes of numbers: the position of a value, from 0 to 1, and round ticks with their labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Tick:
    """A tick of a plot axis: its position from 0 to 1, and its label."""

    place: float
    text: str


@dataclass(frozen=True)
class NumberAxis:
    """A linear or logarithmic plot axis of numbers.

    Attributes:
        low, high: the ends, at the places 0 and 1.
        log: it is logarithmic; both ends are above 0.
        whole: only whole numbers have ticks.
        percent: numbers are shares, shown in percent.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False
    percent: bool = False

    def place(self, value: Any) -> float | None:
        """Return the place of a value, from 0 to 1 within the ends; None if it is no finite number."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return None
        if not self.log:
            return (value - self.low) / (self.high - self.low)
        return math.log(value / self.low) / math.log(self.high / self.low) if value > 0 else None

    def text(self, value: Any) -> str:
        """Return the label of a value on the axis, in percent on an axis of shares."""
        return shown_number(value) if not self.percent or not isinstance(value, float) else f"{value:.2%}"

    def ticks(self, most: int = 6) -> list[Tick]:
        """Return at most about `most` ticks at round numbers."""
        marked = self._decades(most) if self.log else []
        values = marked if len(marked) >= 2 else self._rounds(most)
        places = [(self.place(value), value) for value in values]
        return [Tick(place, self._tick(value)) for place, value in places if place is not None]

    def _tick(self, value: float) -> str:
        return f"{value * 100:.6g}%" if self.percent else shown_number(value)

    def _decades(self, most: int) -> list[float]:
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        every = max(-(-(last - first + 1) // most), 1)
        return [10.0**power for power in range(first, last + 1, every)]

    def _rounds(self, most: int) -> list[float]:
        rough = (self.high - self.low) / most
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next((unit * one for one in _STEPS if unit * one >= rough * (1 - 1e-9)), unit * 10)
        step = max(round(step), 1) if self.whole else step
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def shown_number(value: float) -> str:
    """Return a number as text: a float with 4 significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)

"""Ranges of numbers and choices of values that a key of a search space takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pydantic import Field, model_validator

from cnnrecipes.errors import RecipeError
from cnnrecipes.syntax.call_syntax import Call

_DIGITS = 12  # significant ones of a value on a grid: 0.3, not 0.30000000000000004


class Range(Call):
    """Base class of ranges of numbers, both ends included."""

    @property
    def ends(self) -> tuple[Any, ...]:
        """The lowest and the highest value of the range."""
        low, high = self.low, self.high  # type: ignore[attr-defined]  # fields of all subclasses
        return low, high

    @property
    def size(self) -> float:
        """Number of different values of the range; infinity for a continuous range."""
        return math.inf

    def all_values(self) -> list[Any]:
        """Return all values of the range, in rising order. Raises RecipeError for a continuous range."""
        raise RecipeError(f"{self!r} has infinitely many values; give it a step")

    def _check_ends(self, positive: bool) -> None:
        """Raise ValueError for ends in the wrong order, or not above 0 on a logarithmic scale."""
        low, high = self.low, self.high  # type: ignore[attr-defined]
        if low > high:
            raise ValueError(f"the low end {low:g} is above the high end {high:g}; swap them")
        if low == high:
            raise ValueError(f"both ends are {low:g}, which leaves nothing to search; set the key in the recipe")
        if positive and low <= 0:
            raise ValueError(f"the low end {low:g} of a logarithmic range is not above 0; raise it, or use uniform")

    def _check_step(self, step: float | None) -> None:
        width = self.high - self.low  # type: ignore[attr-defined]
        if step is not None and step > width:
            raise ValueError(f"the step {step:g} is larger than the range, {width:g}; lower it")


class Uniform(Range):
    """Numbers from `low` to `high`, uniform; with `step` only low, low + step, ..."""

    low: float
    high: float
    step: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _ordered(self):
        self._check_ends(positive=False)
        self._check_step(self.step)
        return self

    @property
    def ends(self) -> tuple[float, ...]:
        """The lowest and the highest value of the range; with a step, the last one that it reaches from `low`."""
        return (self.low, self.high) if self.step is None else (self._value(0), self._value(int(self.size) - 1))

    @property
    def size(self) -> float:
        """Number of different values of the range."""
        # 1 / 0.1 is 10, but (0.3 - 0) / 0.1 is 2.9999999999999996.
        return math.inf if self.step is None else math.floor((self.high - self.low) / self.step + 1e-9) + 1

    def all_values(self) -> list[float]:
        """Return all values of the range, in rising order. Raises RecipeError without a step."""
        return super().all_values() if self.step is None else [self._value(index) for index in range(int(self.size))]

    def nearest(self, value: float) -> float:
        """Return the value on the grid that is nearest; without a step, the value."""
        return value if self.step is None else self._value(round((value - self.low) / self.step))

    def _value(self, index: int) -> float:
        assert self.step is not None
        return float(f"{self.low + index * self.step:.{_DIGITS}g}")


class Log(Range):
    """Numbers from `low` to `high`, uniform in their logarithm."""

    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self):
        self._check_ends(positive=True)
        return self


class Int(Range):
    """Whole numbers from `low` to `high`, uniform; with `step` only low, low + step, ..."""

    low: int
    high: int
    step: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _ordered(self):
        self._check_ends(positive=False)
        self._check_step(self.step)
        return self

    @property
    def ends(self) -> tuple[int, ...]:
        """The lowest and the highest value of the range; with a step, the last one that it reaches from `low`."""
        return self.low, self.all_values()[-1]

    @property
    def size(self) -> float:
        """Number of different values of the range."""
        return len(range(self.low, self.high + 1, self.step))

    def all_values(self) -> Any:
        """Return all values of the range, in rising order."""
        return range(self.low, self.high + 1, self.step)


class LogInt(Range):
    """Whole numbers from `low` to `high`, uniform in their logarithm; with `factor` only low, low * factor, ..."""

    low: int
    high: int
    factor: int | None = Field(default=None, ge=2)

    @model_validator(mode="after")
    def _ordered(self):
        self._check_ends(positive=True)
        if self.factor is not None and self.low * self.factor > self.high:
            raise ValueError(f"the factor {self.factor} leads from {self.low} beyond {self.high}; lower it")
        return self

    @property
    def ends(self) -> tuple[int, ...]:
        """The lowest and the highest value of the range; with a factor, the last one that it reaches from `low`."""
        return self.low, self.all_values()[-1]

    @property
    def size(self) -> float:
        """Number of different values of the range."""
        return len(self.all_values())

    def all_values(self) -> Any:
        """Return all values of the range, in rising order."""
        if self.factor is None:
            return range(self.low, self.high + 1)
        found = [self.low]
        while found[-1] * self.factor <= self.high:
            found.append(found[-1] * self.factor)
        return found


RANGES: dict[str, type[Range]] = {"uniform": Uniform, "log": Log, "int": Int, "log_int": LogInt}


@dataclass(frozen=True)
class Choice:
    """One of several values, of any types that a recipe has."""

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """All choices, in place of the two ends of a range."""
        return self.values

    @property
    def size(self) -> float:
        """Number of choices."""
        return len(self.values)

    def all_values(self) -> list[Any]:
        """Return all choices, in the order in which they were given."""
        return list(self.values)

"""Search spaces: `"optimizer.learning_rate" = "log(1e-3, 1)"`, lists of choices, and conditions on other keys.

| value of a key in `[search.space]`           | meaning                                                             |
|----------------------------------------------|---------------------------------------------------------------------|
| `"log(1e-3, 1)"`                             | a number, uniform in its logarithm                                  |
| `"uniform(0, 0.2)"`, `"uniform(0, 1, 0.25)"` | a number, uniform; of multiples of a step above the low end         |
| `"int(5, 20)"`, `"int(5, 20, 5)"`            | a whole number, both ends included; in steps                        |
| `"log_int(16, 256)"`, `"log_int(16, 256, 2)"`| a whole number, uniform in its logarithm; multiplied by a factor    |
| `["batch", "group"]`                         | one of the values, which may be lists                               |
| `{values = ..., when = {"key" = value}}`     | any of these, only in trials in which another key has a value       |
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, model_validator

from cnnrecipes.errors import RecipeError
from cnnrecipes.syntax.call_syntax import Call, parse_call

_FORMS = '"log(1e-3, 1)", "uniform(0, 0.2)", "int(5, 20)", "log_int(16, 256)" or a list of values'


class Range(Call):
    """Base class of ranges of numbers, both ends included."""

    @property
    def ends(self) -> tuple[Any, ...]:
        """The lowest and the highest value."""
        low, high = self.low, self.high  # type: ignore[attr-defined]  # fields of all subclasses
        return low, high

    @property
    def size(self) -> float:
        """Number of different values; infinity for a continuous range."""
        return math.inf

    def _check_ends(self, positive: bool) -> None:
        """Raise ValueError for ends in the wrong order, or not above 0 on a logarithmic scale."""
        low, high = self.ends
        if low > high:
            raise ValueError(f"the low end {low:g} is above the high end {high:g}; swap them")
        if low == high:
            raise ValueError(f"both ends are {low:g}, which leaves nothing to search; set the key in the recipe")
        if positive and low <= 0:
            raise ValueError(f"the low end {low:g} of a logarithmic range is not above 0; raise it, or use uniform")


class Uniform(Range):
    """Numbers from `low` to `high`, uniform; with `step` only low, low + step, ..."""

    low: float
    high: float
    step: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _ordered(self):
        self._check_ends(positive=False)
        _check_step(self.step, self.high - self.low)
        return self

    @property
    def size(self) -> float:
        """Number of different values."""
        return math.inf if self.step is None else math.floor((self.high - self.low) / self.step + 1e-9) + 1


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
        _check_step(self.step, self.high - self.low)
        return self

    @property
    def ends(self) -> tuple[int, ...]:
        """The lowest and the highest value that the step reaches."""
        return self.low, self.low + (self.high - self.low) // self.step * self.step

    @property
    def size(self) -> float:
        """Number of different values."""
        return (self.high - self.low) // self.step + 1

    def _check_ends(self, positive: bool) -> None:
        if self.low >= self.high:
            super()._check_ends(positive)
            raise ValueError(f"the low end {self.low} is above the high end {self.high}; swap them")


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
        """The lowest and the highest value that the factor reaches."""
        if self.factor is None:
            return self.low, self.high
        return self.low, self.low * self.factor ** (int(self.size) - 1)

    @property
    def size(self) -> float:
        """Number of different values."""
        if self.factor is None:
            return self.high - self.low + 1
        number, value = 0, self.low
        while value <= self.high:
            number, value = number + 1, value * self.factor
        return number


RANGES: dict[str, type[Range]] = {"uniform": Uniform, "log": Log, "int": Int, "log_int": LogInt}


@dataclass(frozen=True)
class Choice:
    """One of several values, of any types that a recipe has."""

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """All values."""
        return self.values

    @property
    def size(self) -> float:
        """Number of values."""
        return len(self.values)


@dataclass(frozen=True)
class Entry:
    """One key of a search space.

    Attributes:
        key: dotted recipe key.
        values: its range or choice.
        when: key of the space -> values, with one of which this entry is active; all must hold.
    """

    key: str
    values: Range | Choice
    when: Mapping[str, tuple[Any, ...]]

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Return True if the conditions hold in a trial with these values; inactive keys are absent from them."""
        return all(key in values and values[key] in allowed for key, allowed in self.when.items())


def flat_space(table: Any) -> Any:
    """Return a `[search.space]` table with dotted keys: `optimizer.momentum = ...` without quotes is nested in TOML."""
    if not isinstance(table, Mapping):
        return table
    flat: dict[str, Any] = {}
    for key, value in table.items():
        nested = "." not in str(key) and isinstance(value, Mapping) and "values" not in value
        flat |= {f"{key}.{inner}": one for inner, one in value.items()} if nested else {key: value}
    return {key: _lists(value) for key, value in flat.items()}


def parse_space(table: Mapping[str, Any]) -> tuple[Entry, ...]:
    """Return the entries of a space, each after those that its conditions name.

    Raises:
        RecipeError: a value that is no range, choice or condition; a condition on a key that is not in the space, on a
            range, on a value that the key never has, or on itself.
    """
    entries = {key: Entry(key, *_parts(key, value)) for key, value in table.items()}
    for entry in entries.values():
        _check_conditions(entry, entries)
    conditions = {key: _conditions(key, table[key], entries) for key in entries}
    return tuple(_ordered([Entry(key, entries[key].values, when) for key, when in conditions.items()]))


def space_size(entries: tuple[Entry, ...]) -> float:
    """Return the number of different trials of a space; infinity with a continuous range.

    A space of more than a million combinations without conditions is not counted: the product is an upper bound.
    """
    sizes = [entry.values.size for entry in entries]
    if math.inf in sizes:
        # Of a key that is never active in some trials, those trials are still finitely many; nobody exhausts them.
        return math.inf
    whole = math.prod(sizes)
    if whole > 1_000_000 or not any(entry.when for entry in entries):
        return whole
    return sum(1 for _ in combinations(entries))


def combinations(entries: tuple[Entry, ...], chosen: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the values of all different trials of a finite space; keys that are inactive are absent."""
    chosen = dict(chosen or {})
    if not entries:
        yield chosen
        return
    first, rest = entries[0], entries[1:]
    if not first.is_active(chosen):
        yield from combinations(rest, chosen)
        return
    for value in all_values(first.values):
        yield from combinations(rest, {**chosen, first.key: value})


def all_values(values: Range | Choice) -> list[Any]:
    """Return the values of a finite range or choice, in order."""
    if isinstance(values, Choice):
        return list(values.values)
    if isinstance(values, Int):
        return list(range(values.low, values.high + 1, values.step))
    if isinstance(values, LogInt):
        if values.factor is None:
            return list(range(values.low, values.high + 1))
        return [values.low * values.factor**power for power in range(int(values.size))]
    if isinstance(values, Uniform) and values.step is not None:
        return [values.low + number * values.step for number in range(int(values.size))]
    raise RecipeError(f"{values!r} has infinitely many values; give it a step")


def shown_choice(value: Any) -> str:
    """Return a value as it is written in TOML, for messages."""
    return json.dumps(value, default=str)


def _check_step(step: float | None, width: float) -> None:
    if step is not None and step > width:
        raise ValueError(f"the step {step:g} is larger than the range, {width:g}; lower it")


def _parts(key: str, value: Any) -> tuple[Range | Choice, dict[str, tuple[Any, ...]]]:
    """Return the range or choice of an entry, and its conditions as they are written."""
    when: Mapping[str, Any] = {}
    if isinstance(value, Mapping):
        if set(value) - {"values", "when"} or "values" not in value:
            raise RecipeError(
                f"{key} is a table with the keys {', '.join(map(str, value))}, not `values` and `when`; write a "
                'condition as {values = ..., when = {"optimizer.name" = "sgd"}}'
            )
        when, value = value.get("when", {}), value["values"]
        if not isinstance(when, Mapping):
            raise RecipeError(f"{key}: when = {when!r}; give a table of keys and values")
    return _values(key, value), {name: (one,) for name, one in when.items()}


def _values(key: str, value: Any) -> Range | Choice:
    if isinstance(value, str):
        try:
            return parse_call(value, RANGES, "range")
        except RecipeError as error:
            raise RecipeError(f"{key}: {error}; a space has {_FORMS}") from None
    if not isinstance(value, list):
        raise RecipeError(f"{key} = {shown_choice(value)} is a single value; give {_FORMS}")
    if not value:
        raise RecipeError(f"{key} = [] has no value to choose; give at least one")
    if None in value:
        raise RecipeError(f"{key} has the choice None; recipes have no such value, leave it out")
    if twice := [one for number, one in enumerate(value) if one in value[:number]]:
        raise RecipeError(f"{key} has the choice {shown_choice(twice[0])} twice; leave one out")
    return Choice(tuple(value))


def _check_conditions(entry: Entry, entries: Mapping[str, Entry]) -> None:
    for name in entry.when:
        if name == entry.key:
            raise RecipeError(f"{entry.key} is active when {name} has a value, which is itself; name another key")
        if name not in entries:
            raise RecipeError(
                f"{entry.key} is active when {name} has a value, and the space has no {name}; add it as a list of "
                f"values, or leave the condition out. The space has {', '.join(entries)}"
            )
        if not isinstance(entries[name].values, Choice):
            raise RecipeError(f"{entry.key} is active when {name} has a value, and {name} is a range; make it a list")


def _conditions(key: str, value: Any, entries: Mapping[str, Entry]) -> dict[str, tuple[Any, ...]]:
    """Return the conditions of an entry as tuples of allowed values, each a choice of its key."""
    when = value.get("when", {}) if isinstance(value, Mapping) else {}
    found = {}
    for name, wanted in when.items():
        choices = entries[name].values.ends
        allowed = tuple(wanted) if isinstance(wanted, list) and wanted not in choices else (wanted,)
        if missing := [one for one in allowed if one not in choices]:
            raise RecipeError(
                f"{key} is active when {name} = {shown_choice(missing[0])}, which it never is; its values are "
                f"{', '.join(map(shown_choice, choices))}"
            )
        if not allowed:
            raise RecipeError(f"{key} is active when {name} has one of no values; list at least one")
        found[name] = allowed
    return found


def _ordered(entries: list[Entry]) -> Iterator[Entry]:
    """Yield the entries so that conditions name earlier ones. Raises RecipeError for conditions in a circle."""
    done: set[str] = set()
    while entries:
        ready = [entry for entry in entries if set(entry.when) <= done]
        if not ready:
            raise RecipeError(f"the conditions of {' and '.join(e.key for e in entries)} depend on each other")
        yield from ready
        done |= {entry.key for entry in ready}
        entries = [entry for entry in entries if entry.key not in done]


def _lists(value: Any) -> Any:
    """Return a value with tuples as lists, as TOML has them."""
    if isinstance(value, Mapping):
        return {str(key): _lists(one) for key, one in value.items()}
    return [_lists(one) for one in value] if isinstance(value, (list, tuple)) else value

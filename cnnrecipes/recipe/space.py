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

from cnnrecipes.errors import RecipeError
from cnnrecipes.recipe.ranges import RANGES, Choice, Range
from cnnrecipes.syntax.call_syntax import parse_call

_FORMS = '"log(1e-3, 1)", "uniform(0, 0.2)", "int(5, 20)", "log_int(16, 256)" or a list of values'


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
    for value in first.values.all_values():
        yield from combinations(rest, {**chosen, first.key: value})


def shown_choice(value: Any) -> str:
    """Return a value as it is written in TOML, for messages."""
    return json.dumps(value, default=str)


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

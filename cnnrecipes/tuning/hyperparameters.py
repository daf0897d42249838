"""A search space as keras-tuner's `HyperParameters`, and the values of a trial as keys of a recipe."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import keras_tuner

from cnnrecipes.recipe.space import Choice, Entry, Int, Log, LogInt, Uniform


def declare(hp: keras_tuner.HyperParameters, entries: Sequence[Entry]) -> None:
    """Register all entries, those with conditions in conditional scopes."""
    choices = {entry.key: entry.values for entry in entries}
    for entry in entries:
        with contextlib.ExitStack() as scopes:
            for parent, allowed in entry.when.items():
                values = encoded(choices[parent].ends)
                wanted = [values[choices[parent].ends.index(one)] for one in allowed]
                scopes.enter_context(hp.conditional_scope(parent, wanted))
            _declare(hp, entry)


def values_of(hp: keras_tuner.HyperParameters, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return recipe key -> value of the active entries."""
    found: dict[str, Any] = {}
    for entry in entries:
        if entry.is_active(found) and entry.key in hp.values:
            found[entry.key] = _decoded(entry, hp.values[entry.key])
    return found


def to_hp_values(values: Mapping[str, Any], entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the values of a trial as keras-tuner has them."""
    found = {}
    for entry in entries:
        if entry.key in values:
            value = values[entry.key]
            if isinstance(entry.values, Choice):
                value = encoded(entry.values.values)[entry.values.values.index(value)]
            found[entry.key] = value
    return found


def encoded(values: Sequence[Any]) -> list[Any]:
    """Return choices as keras-tuner takes them: texts or numbers of one type; others are written as JSON."""
    if len({type(value) for value in values}) == 1 and type(values[0]) in (str, int, float):
        return list(values)
    return [json.dumps(value) for value in values]


def _declare(hp: keras_tuner.HyperParameters, entry: Entry) -> None:
    values = entry.values
    if isinstance(values, Choice):
        hp.Choice(entry.key, encoded(values.values), ordered=False)
    elif isinstance(values, Uniform):
        hp.Float(entry.key, values.low, values.high, step=values.step)
    elif isinstance(values, Log):
        hp.Float(entry.key, values.low, values.high, sampling="log")
    elif isinstance(values, Int):
        hp.Int(entry.key, values.low, values.ends[1], step=values.step)
    elif isinstance(values, LogInt):
        hp.Int(entry.key, values.low, values.ends[1], step=values.factor, sampling="log")


def _decoded(entry: Entry, value: Any) -> Any:
    """Return the recipe value of keras-tuner's value."""
    if not isinstance(entry.values, Choice):
        return int(value) if isinstance(entry.values, (Int, LogInt)) else float(value)
    texts = encoded(entry.values.values)
    return entry.values.values[texts.index(value)]

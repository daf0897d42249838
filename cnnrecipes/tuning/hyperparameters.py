"""A search space as keras-tuner's `HyperParameters`, and the values of a trial as keys of a recipe."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import keras_tuner

from cnnrecipes.recipe.ranges import Choice, Int, Log, LogInt, Uniform
from cnnrecipes.recipe.space import Entry

_LISTED = 1000  # largest number of values on a grid that are listed for keras-tuner


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
        _declare_uniform(hp, entry.key, values)
    elif isinstance(values, Log):
        hp.Float(entry.key, values.low, values.high, sampling="log")
    elif isinstance(values, Int):
        hp.Int(entry.key, values.low, values.ends[1], step=values.step)
    elif isinstance(values, LogInt):
        hp.Int(entry.key, values.low, values.ends[1], step=values.factor, sampling="log")


def _declare_uniform(hp: keras_tuner.HyperParameters, key: str, values: Uniform) -> None:
    """Declare a range; on a grid as its values, since keras-tuner counts 9 steps of 0.1 from 0 to 1: 1 // 0.1 == 9."""
    if values.step is None:
        hp.Float(key, values.low, values.high)
    elif values.size <= _LISTED:
        hp.Choice(key, values.all_values(), ordered=True)
    else:
        hp.Float(key, values.low, values.ends[1] + values.step / 2, step=values.step)


def _decoded(entry: Entry, value: Any) -> Any:
    """Return the recipe value of keras-tuner's value."""
    if not isinstance(entry.values, Choice):
        if isinstance(entry.values, Uniform):
            return entry.values.nearest(float(value))
        return int(value) if isinstance(entry.values, (Int, LogInt)) else float(value)
    texts = encoded(entry.values.values)
    return entry.values.values[texts.index(value)]

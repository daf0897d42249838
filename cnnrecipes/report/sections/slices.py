"""Accuracy on parts of the split: by image size, brightness, source folder and group."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from cnnrecipes import explain
from cnnrecipes.data.sources.random_access_dataset import Split
from cnnrecipes.data.split_part import spread_indices, taken
from cnnrecipes.errors import DataError, counted
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.section import Section, render

KEY, TITLE = "slices", "Parts of the data"
_IMAGES = 10_000  # whose brightness is measured, which reads them
_NAMED = 3
_TITLES = {"image size": "Image size (shorter side)", "brightness": "Brightness (mean gray value, 0 to 255)"}


def slices(facts: Facts) -> Section:
    """Return the accuracy on parts of the split, and those on which it is lower than on the rest."""
    predictions = facts.final
    if predictions is None:
        return Section(KEY, TITLE, why=facts.why.get("predictions", "the training is not finished"))
    split, missing = _opened(facts)
    if len(predictions) > _IMAGES:
        some = spread_indices(len(predictions), _IMAGES)
        predictions = predictions.part(some)
        split = None if split is None else taken(split, some)
    try:
        table = explain.slices(predictions, split)
    except DataError as error:
        missing, table = str(error), explain.slices(predictions, None)
    if table.empty:
        alike = "its images are alike in size and brightness, and of one folder and group"
        return Section(KEY, TITLE, why=missing or alike)
    body = render(
        "slices.html",
        sentence=_sentence(table),
        missing=f"Image size and brightness are missing: {missing}." if missing else "",
        n=len(predictions),
        split=predictions.split,
        accuracy=float(predictions.right.mean()),
        start=min(math.floor(10 * float(table["accuracy_low"].min())) / 10, 0.9),
        groups=_groups(table),
    )
    return Section(KEY, TITLE, body)


def _opened(facts: Facts) -> tuple[Split | None, str]:
    """Return the split with its images, or None and the reason."""
    if facts.source is None:
        return None, facts.why.get("data", "the data were not opened")
    if not facts.thorough:
        return None, facts.why.get("thorough", "")
    if facts.split not in facts.source.splits:
        return None, f"the data have no {facts.split} split"
    return facts.source.split(facts.split), ""


def _groups(table: pd.DataFrame) -> dict[str, list[dict[Any, Any]]]:
    """Return the rows of each kind of part, by its title."""
    return {
        _TITLES.get(str(name), str(name).capitalize()): rows.to_dict("records")
        for name, rows in table.groupby("slice", sort=False)
    }


def _sentence(table: pd.DataFrame) -> str:
    worse = table[table["worse"]].sort_values("accuracy")
    if worse.empty:
        return f"None of {counted(len(table), 'part')} is significantly worse than the rest."
    named = [
        f"{row['slice']} {row['value']} ({row['accuracy']:.1%} of {row['n']:,})" for row in worse.to_dict("records")
    ]
    more = f" and {len(named) - _NAMED:,} more" if len(named) > _NAMED else ""
    return f"Significantly worse than the rest: {', '.join(named[:_NAMED])}{more}."

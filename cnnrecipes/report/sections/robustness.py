"""Accuracy under corruptions of the images, if `cnnrecipes explain` has measured it."""

from __future__ import annotations

import pandas as pd

from cnnrecipes import explain
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.section import Section, percent, render
from cnnrecipes.report.sections.confusion import SHADES
from cnnrecipes.runs.records import ROBUSTNESS

KEY, TITLE = "robustness", "Robustness"
_COLUMNS = ("corruption", "strength", "accuracy", "n")


def robustness(facts: Facts) -> Section:
    """Return the accuracy by corruption (rows) and strength (columns)."""
    if facts.robustness is None:
        why = facts.why.get("robustness", f"it was not measured: {facts.how_to_explain('robustness')}")
        return Section(KEY, TITLE, why=why)
    table = _numbers(facts.robustness)
    if table is None or not (table["strength"] > 0).any():
        return Section(KEY, TITLE, why=f"{ROBUSTNESS} has no accuracy of a corruption")
    clean = table.loc[table["strength"] == 0, "accuracy"]
    corrupted = table[table["strength"] > 0]
    grid = corrupted.pivot_table(index="corruption", columns="strength", values="accuracy")
    grid = grid.loc[grid.mean(axis=1).sort_values().index]
    best = max(float(grid.max().max()), *clean.tolist(), 1e-9)
    body = render(
        "robustness.html",
        rows=[_row(str(name), grid.loc[name], best) for name in grid.index],
        strengths=[f"{strength:g}" for strength in grid.columns],
        n=int(corrupted["n"].iloc[0]),
        split=next(iter(facts.robustness["split"]), "") if "split" in facts.robustness else "",
        clean=float(clean.iloc[0]) if len(clean) else None,
        sentence=f"The model {explain.robustness_sentence(table)}." if len(clean) else "",
    )
    return Section(KEY, TITLE, body)


def _numbers(table: pd.DataFrame) -> pd.DataFrame | None:
    """Return the table with numbers, without rows in which one is missing; None if a column is."""
    if not set(_COLUMNS) <= set(table.columns):
        return None
    numbers = table[list(_COLUMNS[1:])].apply(pd.to_numeric, errors="coerce")
    return table[["corruption"]].join(numbers).dropna()


def _row(name: str, values: pd.Series, best: float) -> dict:
    return {
        "name": name.replace("_", " "),
        "cells": [
            {"text": percent(value, 0), "shade": 0 if value != value else round(SHADES * value / best)}
            for value in values.tolist()
        ],
        "mean": percent(float(values.mean()), 0),
    }

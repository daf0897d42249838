"""Accuracy under corruptions of the images, if `cnnrecipes explain` has measured it."""

from __future__ import annotations

import shlex

from cnnrecipes.report.facts import ROBUSTNESS, Facts
from cnnrecipes.report.section import Section, render
from cnnrecipes.report.sections.confusion import SHADES

KEY, TITLE = "robustness", "Robustness"
_COLUMNS = {"corruption", "strength", "accuracy", "n"}


def robustness(facts: Facts) -> Section:
    """Return the accuracy by corruption (rows) and strength (columns)."""
    table = facts.robustness
    if table is None or not set(table.columns) >= _COLUMNS or not (table["strength"] > 0).any():
        folder = shlex.quote(str(facts.run.folder))
        command = f"cnnrecipes explain {folder} --what robustness -o {folder}"
        return Section(
            KEY, TITLE, why=f"it was not measured: `{command}` writes {ROBUSTNESS}, then write the report again"
        )
    clean = table.loc[table["strength"] == 0, "accuracy"]
    table = table[table["strength"] > 0]
    grid = table.pivot_table(index="corruption", columns="strength", values="accuracy")
    grid = grid.loc[grid.mean(axis=1).sort_values().index]
    best = float(grid.to_numpy().max())
    rows = [
        {
            "name": str(name),
            "cells": [{"text": f"{value:.1%}", "shade": round(SHADES * value / max(best, 1e-9))} for value in values],
            "mean": f"{sum(values) / len(values):.1%}",
        }
        for name, values in zip(grid.index, grid.to_numpy().tolist(), strict=True)
    ]
    strengths = [f"{strength:g}" for strength in grid.columns]
    body = render(
        "robustness.html",
        rows=rows,
        strengths=strengths,
        n=int(table["n"].iloc[0]),
        clean=float(clean.iloc[0]) if len(clean) else None,
    )
    return Section(KEY, TITLE, body)

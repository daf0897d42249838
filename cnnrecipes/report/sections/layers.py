"""The layers over the training: update ratios, gradient norms, dead channels, from the records of the watch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cnnrecipes.diagnosis.watch_findings import GUIDE, worst_layer
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.line_chart import thinned
from cnnrecipes.report.section import Section, render
from cnnrecipes.report.small_charts import sparkline
from cnnrecipes.runs.watch_records import STATISTICS

KEY, TITLE = "layers", "Layers"
_ROWS = 120
_POINTS = 40  # of a sparkline
_LINES = {"ratio": "update_ratio", "gradient": "gradient_norm", "std": "std"}


def layers(facts: Facts) -> Section:
    """Return a table with a row per layer, and the layer that stands out."""
    table = facts.watch
    if table is None or table.empty:
        return Section(KEY, TITLE, why=facts.why.get("watch", "the layers were not watched"))
    table = table[["step", "layer", "kind", *STATISTICS]].drop_duplicates(["step", "layer"], keep="last")
    worst = worst_layer(table)
    kinds = dict(zip(table["layer"].tolist(), table["kind"].tolist(), strict=True))
    steps, names, values = _over_time(table)
    shown = list(range(len(names)))
    if len(names) > _ROWS:
        shown = [i for i in shown if kinds[names[i]] == "weighted" or names[i] == worst.layer][:_ROWS]
    body = render(
        "layers.html",
        sentence=worst.sentence,
        rows=[
            {"name": names[i], "kind": kinds[names[i]], "worst": bool(worst.problem) and names[i] == worst.layer}
            | _row({name: grid[i] for name, grid in values.items()}, kinds[names[i]])
            for i in shown
        ],
        left_out=len(names) - len(shown),
        steps=len(steps),
        last=int(steps[-1]),
        guide=GUIDE,
    )
    return Section(KEY, TITLE, body)


def _over_time(table: pd.DataFrame) -> tuple[np.ndarray, list[str], dict[str, np.ndarray]]:
    """Return the steps, the layers in order of computation, and each statistic as (layers, steps), NaN if missing."""
    steps, columns = np.unique(table["step"].to_numpy(), return_inverse=True)
    rows, names = pd.factorize(table["layer"])
    values = {}
    for name in (*_LINES.values(), "dead"):
        values[name] = np.full((len(names), len(steps)), np.nan)
        values[name][rows, columns] = table[name].to_numpy(float)
    return steps, list(map(str, names)), values


def _row(values: dict[str, np.ndarray], kind: str) -> dict[str, Any]:
    """Return the last values of a layer, and lines of them over time."""
    row: dict[str, Any] = {"dead": _last(values["dead"])}
    for key, name in _LINES.items():
        guide = GUIDE if key == "ratio" else None
        drawn = kind == "weighted" or key != "ratio"
        row[key] = _last(values[name])
        row[f"{key}_line"] = sparkline(thinned(values[name], _POINTS).tolist(), log=True, guide=guide) if drawn else ""
    return row


def _last(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known[-1]) if len(known) else None

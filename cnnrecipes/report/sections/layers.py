"""The layers over the training: update ratios, gradient norms, dead channels, from the records of the watch."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cnnrecipes.diagnosis.watch_findings import GUIDE, worst_layer
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.line_chart import thinned
from cnnrecipes.report.section import Section, render
from cnnrecipes.report.small_charts import sparkline

KEY, TITLE = "layers", "Layers"
_ROWS = 120
_POINTS = 40  # of a sparkline


def layers(facts: Facts) -> Section:
    """Return a table with a row per layer, and the layer that stands out."""
    table = facts.watch
    if table is None or table.empty:
        return Section(KEY, TITLE, why=facts.why.get("watch", "the layers were not watched"))
    table = table.drop_duplicates(["step", "layer"], keep="last")
    worst = worst_layer(table)
    names = list(dict.fromkeys(table["layer"]))
    weighted = set(table.loc[table["kind"] == "weighted", "layer"])
    shown = names
    if len(names) > _ROWS:
        shown = [name for name in names if name in weighted or name == worst.layer][:_ROWS]
    groups = dict(list(table[table["layer"].isin(shown)].groupby("layer", sort=False)))
    body = render(
        "layers.html",
        sentence=worst.sentence,
        rows=[_row(groups[name], name, worst.layer if worst.problem else "") for name in shown],
        left_out=len(names) - len(shown),
        steps=int(table["step"].nunique()),
        last=int(table["step"].max()),
        guide=GUIDE,
    )
    return Section(KEY, TITLE, body)


def _row(rows: pd.DataFrame, name: str, worst: str) -> dict:
    rows = rows.sort_values("step")
    return {
        "name": name,
        "kind": str(rows["kind"].iloc[0]),
        "worst": name == worst,
        "ratio": _last(rows, "update_ratio"),
        "ratio_line": _line(rows, "update_ratio", guide=GUIDE) if rows["kind"].iloc[0] == "weighted" else "",
        "gradient": _last(rows, "gradient_norm"),
        "gradient_line": _line(rows, "gradient_norm"),
        "std": _last(rows, "std"),
        "std_line": _line(rows, "std"),
        "dead": _last(rows, "dead"),
    }


def _last(rows: pd.DataFrame, column: str) -> float | None:
    known = rows[column].dropna()
    return float(known.iloc[-1]) if len(known) else None


def _line(rows: pd.DataFrame, column: str, guide: float | None = None):
    values = rows[column].to_numpy(float)
    return sparkline(thinned(values, _POINTS).tolist(), log=True, guide=guide) if np.isfinite(values).any() else ""

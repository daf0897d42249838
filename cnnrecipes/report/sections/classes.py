"""The classes: precision, recall and F1 of each, in a table that sorts and filters."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cnnrecipes.report.facts import Facts
from cnnrecipes.report.section import Section, render
from cnnrecipes.runs.classification_metrics import per_class

KEY, TITLE = "classes", "Classes"


def classes(facts: Facts) -> Section:
    """Return the table of the classes, the ones with the lowest recall first."""
    predictions = facts.final
    if predictions is None:
        return Section(KEY, TITLE, why=facts.why.get("predictions", "the training is not finished"))
    table = ordered(per_class(predictions))
    rows = [
        {
            "name": str(row["class"]),
            "n": int(row["n"]),
            **{key: _number(row[key]) for key in ("precision", "recall", "f1", "recall_low", "recall_high")},
            "confidence": _number(row["mean_confidence"]),
        }
        for row in table.to_dict("records")
    ]
    n, sentence = len(predictions.truth), _sentence(table)
    return Section(KEY, TITLE, render("classes.html", rows=rows, split=predictions.split, n=n, sentence=sentence))


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    """Return the classes by recall, the lowest first; classes without images last."""
    return table.sort_values(["recall", "f1", "class"], na_position="last", kind="stable")


def _sentence(table: pd.DataFrame) -> str:
    """Return what stands out: the class with the lowest recall, and classes without images or predictions."""
    seen = table[table["n"] > 0]
    if seen.empty:
        return ""
    worst = seen.iloc[0]
    text = f"The lowest recall is that of class {worst['class']}: {worst['recall']:.1%} of {int(worst['n']):,}"
    text += f" (95% interval {worst['recall_low']:.1%} to {worst['recall_high']:.1%})."
    if (missing := int((table["n"] == 0).sum())) > 0:
        text += f" {missing:,} of {len(table):,} classes have no image in this split."
    few = int((seen["n"] < 20).sum())
    if few:
        text += f" {few:,} have fewer than 20: their recall is uncertain, as the intervals show."
    return text


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

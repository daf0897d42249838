"""The confusion matrix: a table for few classes, a drawing that zooms for many, and the most confused pairs."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from cnnrecipes import explain
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.section import Section, in_script, render
from cnnrecipes.runs.predictions import Predictions

KEY, TITLE = "confusion", "Confusions"
FEW = 24  # classes up to which the matrix is a table
SHADES = 8
_PAIRS = 20
_CELLS = 20_000  # of the drawing, the largest


def confusion(facts: Facts) -> Section:
    """Return the confusion matrix of the final predictions."""
    if facts.final is None:
        return Section(KEY, TITLE, why=facts.why.get("predictions", "the training is not finished"))
    return Section(KEY, TITLE, matrix(facts.final))


def matrix(predictions: Predictions) -> Markup:
    """Return the confusion matrix of predictions, ordered by similarity of the classes, and the most confused pairs."""
    found = explain.confusion(predictions)
    order = np.asarray(found.order)
    names = [str(found.class_names[i]) for i in order]
    counts = np.asarray(found.matrix)[np.ix_(order, order)]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    few = len(names) <= FEW
    return render(
        "confusion.html",
        names=names,
        rows=_rows(names, counts, shares) if few else [],
        data="" if few else _drawn(names, counts),
        pairs=found.pairs.head(_PAIRS).to_dict("records"),
        wrong=int(counts.sum() - np.trace(counts)),
        total=int(counts.sum()),
        split=predictions.split,
        cut=max(int((counts > 0).sum()) - _CELLS, 0),
    )


def _rows(names: list[str], counts: np.ndarray, shares: np.ndarray) -> list[dict]:
    return [
        {
            "name": names[truth],
            "n": int(counts[truth].sum()),
            "cells": [
                {
                    "n": int(counts[truth, predicted]),
                    "shade": shade(float(shares[truth, predicted])),
                    "right": truth == predicted,
                    "title": f"{names[truth]}, predicted as {names[predicted]}: {int(counts[truth, predicted]):,}, "
                    f"{shares[truth, predicted]:.1%}",
                }
                for predicted in range(len(names))
            ],
        }
        for truth in range(len(names))
    ]


def shade(share: float) -> int:
    """Return the shade of a share of a class, 0 for none to 8 for all; small shares are visible."""
    return 0 if share <= 0 else min(max(round(SHADES * share**0.5), 1), SHADES)


def _drawn(names: list[str], counts: np.ndarray) -> Markup:
    """Return the largest cells as JSON for the script: [truth, predicted, n] in the order of the classes."""
    truth, predicted = np.nonzero(counts)
    n = counts[truth, predicted]
    # Errors first: the diagonal is drawn in any case.
    some = np.argsort(-(n + np.where(truth == predicted, n.max(initial=0), 0)), kind="stable")[:_CELLS]
    cells = np.stack([truth[some], predicted[some], n[some]], axis=1)
    found = {"names": names, "n": counts.sum(axis=1).tolist(), "cells": cells.tolist()}
    return in_script(found)

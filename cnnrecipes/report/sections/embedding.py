"""The map of the features: images near each other have similar features, as `cnnrecipes explain` has computed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from markupsafe import Markup

from cnnrecipes.report.embedding_chart import COLORED, embedding_chart, mark, places_of_points
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.line_chart import thinned
from cnnrecipes.report.section import Section, in_script, render
from cnnrecipes.report.thumbnails import Sheet, sheet
from cnnrecipes.runs.predictions import Predictions
from cnnrecipes.runs.records import EMBEDDING

KEY, TITLE = "embedding", "Map of the features"
_POINTS = 2000
_COLUMNS = ("split", "position", "x", "y")


def embedding(facts: Facts) -> Section:
    """Return the map with its thumbnails; the prediction of each point is that of the kept predictions."""
    table = facts.embedding
    if table is None:
        why = facts.why.get("embedding", f"it was not computed: {facts.how_to_explain('embedding')}")
        return Section(KEY, TITLE, why=why)
    found = _matched(table, facts)
    if found is None:
        return Section(KEY, TITLE, why=f"{EMBEDDING} is not of the images that the run was evaluated on")
    positions, predictions = found
    places = places_of_points(positions)
    thumbnails = sheet(facts, [(predictions.split, position) for position in predictions.positions.tolist()])
    names, right = predictions.class_names, predictions.right
    n, wrong = len(predictions), int((~right).sum())
    words = (
        f"{n:,} images of {len(np.unique(predictions.truth)):,} classes; {wrong:,} predicted wrongly. Arrow keys go to "
        "the nearest image in a direction."
    )
    body = render(
        "embedding.html",
        chart=embedding_chart(places, predictions.truth, right, len(names), thumbnails, words),
        legend=_legend(predictions),
        names=[(number, names[number]) for number in np.unique(predictions.truth).tolist()],
        n=n,
        wrong=wrong,
        split=predictions.split,
        of=len(facts.predictions[predictions.split]),
        pictures=bool(thumbnails.uri),
        missing="" if thumbnails.uri else _missing(facts, thumbnails),
        data=_in_script(places, predictions, thumbnails),
    )
    return Section(KEY, TITLE, body)


def _missing(facts: Facts, thumbnails: Sheet) -> str:
    if thumbnails.refused:
        return "this file would become larger than 5 MB"
    return facts.why.get("data", "no image of the data can be read")


def _matched(table: pd.DataFrame, facts: Facts) -> tuple[np.ndarray, Predictions] | None:
    """Return the positions (N, 2) and the predictions of some points; None unless the run has kept them."""
    if not set(_COLUMNS) <= set(table.columns) or table["split"].nunique() != 1:
        return None
    kept = facts.predictions.get(str(table["split"].iloc[0]))
    numbers = table[list(_COLUMNS[1:])].apply(pd.to_numeric, errors="coerce")
    if kept is None or len(numbers) < 2 or not np.isfinite(numbers.to_numpy(float)).all():
        return None
    order = {position: place for place, position in enumerate(kept.positions.tolist())}
    rows = thinned(numbers.to_numpy(float), _POINTS)
    places = [order.get(int(position)) for position in rows[:, 0].tolist()]
    if None in places:
        return None
    return rows[:, 1:], kept.part(np.asarray(places))


def _legend(predictions: Predictions) -> list[tuple[Markup, str]]:
    """Return mark and name of each class that is seen; [] with many classes, whose points are blue and orange."""
    if len(predictions.class_names) > COLORED:
        return []
    return [(mark(number), predictions.class_names[number]) for number in np.unique(predictions.truth).tolist()]


def _in_script(places: np.ndarray, predictions: Predictions, thumbnails: Sheet) -> Markup:
    """Return what the script tells of a point: place, label, prediction, confidence, file, and its thumbnail."""
    return in_script(
        {
            "names": predictions.class_names,
            "at": np.round(places, 1).tolist(),
            "truth": predictions.truth.tolist(),
            "predicted": predictions.predicted.tolist(),
            "confidence": np.round(predictions.confidence.astype(float), 3).tolist(),
            "files": predictions.files,
            "shown": [int(one) for one in thumbnails.shown],
            "cell": thumbnails.cell,
            "columns": thumbnails.columns,
            "width": thumbnails.width,
            "height": thumbnails.height,
        }
    )

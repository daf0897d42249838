"""The images with the largest losses, as pictures that a click enlarges with Grad-CAM."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from cnnrecipes import explain
from cnnrecipes.report.cards import Card, add_pictures
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.section import Section, render
from cnnrecipes.runs.predictions import Predictions

KEY, TITLE = "losses", "Largest losses"
SHOWN = 24


def losses(facts: Facts) -> Section:
    """Return the images with the largest losses, with Grad-CAM of the predicted class if the model was run."""
    predictions = facts.final
    if predictions is None:
        return Section(KEY, TITLE, why=facts.why.get("predictions", "the training is not finished"))
    return Section(KEY, TITLE, gallery(facts, predictions, SHOWN))


def gallery(facts: Facts, predictions: Predictions, n: int) -> Markup:
    """Return the `n` images of a split with the largest losses as HTML."""
    rows = explain.top_losses(predictions, n=n).to_dict("records")
    cards = [_card(row) for row in rows]
    places = [(predictions.split, int(row["position"])) for row in rows]
    return render(
        "losses.html",
        cards=cards,
        rows=rows,
        pictured=add_pictures(facts, cards, places),
        split=predictions.split,
        wrong=int((~predictions.right).sum()),
        total=len(predictions),
    )


def _card(row: dict[Any, Any]) -> Card:
    truth, predicted = f"{row['probability_truth']:.1%}", f"{row['probability_predicted']:.1%}"
    facts = f"labelled {row['truth']} ({truth}), predicted {row['predicted']} ({predicted}), loss {row['loss']:.2f}"
    share = f"{row['probability_predicted']:.0%}"
    return Card(str(row["file"]), row["truth"], row["predicted"], "predicted as", share, facts)

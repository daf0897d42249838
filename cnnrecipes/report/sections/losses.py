"""The images with the largest losses, and likely label errors, as pictures that a click enlarges with Grad-CAM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from cnnrecipes import explain
from cnnrecipes.errors import CNNRecipesError
from cnnrecipes.recipe.schema import Data
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.pictures import network_input
from cnnrecipes.report.section import Section, render
from cnnrecipes.runs.predictions import Predictions

KEY, TITLE = "losses", "Largest losses"
SHOWN = 24


def losses(facts: Facts) -> Section:
    """Return the images with the largest losses, with Grad-CAM of the predicted class if the model was run."""
    predictions = facts.final
    if predictions is None:
        return Section(KEY, TITLE, why=facts.why.get("predictions", "the training is not finished"))
    return Section(KEY, TITLE, gallery(facts, predictions, SHOWN, _issues(facts)))


def gallery(facts: Facts, predictions: Predictions, n: int, issues: Sequence[dict[str, Any]] = ()) -> Markup:
    """Return the `n` images of a split with the largest losses as HTML, and a table of likely label errors."""
    table = explain.top_losses(predictions, n=n)
    cards = _cards(table, predictions)
    images = _images(facts, predictions.split, [card["position"] for card in cards])
    heat, no_heat = _heat(facts, predictions, cards, images)
    for place, card in enumerate(cards):
        image = images.get(card["position"])
        card["picture"] = "" if image is None else facts.pictures.uri(image)
        drawn = explain.draw_heat(image, heat[place]) if image is not None and place in heat else None
        card["heat"] = "" if drawn is None else facts.pictures.uri(drawn)
    wrong = int((~predictions.right).sum())
    small = any(max(image.shape[:2]) < 65 for image in images.values())
    return render(
        "losses.html",
        cards=cards,
        issues=issues,
        split=predictions.split,
        wrong=wrong,
        total=len(predictions.truth),
        small=small,
        pictures=bool(images),
        no_pictures=facts.why.get("data", "") if not images else "",
        no_heat=no_heat,
        refused=facts.pictures.refused,
    )


def _cards(table: pd.DataFrame, predictions: Predictions) -> list[dict[str, Any]]:
    names = predictions.class_names
    return [
        {
            "file": str(row["file"]),
            "short": str(row["file"]).rpartition("/")[2],
            "position": int(row["position"]),
            "truth": _name(row["truth"], names),
            "predicted": _name(row["predicted"], names),
            "right": _name(row["truth"], names) == _name(row["predicted"], names),
            "loss": float(row["loss"]),
            "of_truth": float(row["probability_truth"]),
            "of_predicted": float(row["probability_predicted"]),
        }
        for row in table.to_dict("records")
    ]


def _name(label: Any, names: tuple[str, ...]) -> str:
    """Return the name of a class that a table has as its number or its name."""
    return names[int(label)] if isinstance(label, (int, np.integer)) else str(label)


def _images(facts: Facts, split: str, positions: list[int]) -> dict[int, np.ndarray]:
    """Return the images of a split by position; those that cannot be read are missing."""
    if facts.source is None or split not in facts.source.splits:
        return {}
    found = {}
    for position in positions:
        try:
            found[position] = network_input(facts.source, split, position, _spec(facts))
        except (OSError, IndexError) as error:
            facts.why.setdefault("data", f"an image of it cannot be read: {error}")
    return found


def _spec(facts: Facts) -> Data:
    """Return the recipe's `data` table with the image size of the model."""
    if facts.image_shape is None:
        return facts.recipe.data
    height, width, channels = facts.image_shape
    return facts.recipe.data.model_copy(update={"image_size": (height, width), "channels": channels})


def _heat(
    facts: Facts, predictions: Predictions, cards: list[dict[str, Any]], images: dict[int, np.ndarray]
) -> tuple[dict[int, np.ndarray], str]:
    """Return Grad-CAM of the predicted class by place of the card, and why there is none."""
    places = [place for place, card in enumerate(cards) if card["position"] in images]
    if not places:
        return {}, ""
    if not facts.thorough:
        return {}, facts.why.get("thorough", "")
    batch = np.stack([images[cards[place]["position"]] for place in places])
    classes = [predictions.class_names.index(cards[place]["predicted"]) for place in places]
    try:
        maps = explain.grad_cam(facts.run.artifact, batch, classes=classes)
    except (CNNRecipesError, ValueError) as error:
        return {}, f"Grad-CAM is missing: {error}"
    return dict(zip(places, np.asarray(maps), strict=True)), ""


def _issues(facts: Facts) -> list[dict[str, Any]]:
    """Return the likely label errors that `cnnrecipes explain` has written, the most likely first."""
    table = facts.label_issues
    if table is None or not {"file", "given", "suggested", "score"} <= set(table.columns):
        return []
    return table.head(SHOWN).to_dict("records")

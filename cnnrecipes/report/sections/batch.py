"""Section of the report: the first training images before and after augmentation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnnrecipes.data.batch_preview import mean_color, step_images
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.section import Section, percent, render

KEY, TITLE = "batch", "What the network saw"
_IMAGES = 8
_SIDE = 160  # pixels


def batch(facts: Facts) -> Section:
    """Return the first images of the first training step, as stored and as the network received them."""
    if facts.source is None:
        return Section(KEY, TITLE, why=facts.why.get("data", "the data were not opened"))
    if not facts.thorough:
        return Section(KEY, TITLE, why=facts.why.get("thorough", "pictures were not asked for"))
    source, ops = facts.source, facts.recipe.augment.ops
    recipe = facts.recipe.change(**{"data.cache": "none"})  # a cache would decode all images
    if facts.image_shape is not None:
        height, width, channels = facts.image_shape
        recipe = recipe.change(**{"data.image_size": [height, width], "data.channels": channels})
    mean = facts.statistics or mean_color(source, recipe)
    plain = recipe.change(**{"augment.ops": []})
    before, labels = step_images(source, plain, mean, 0, _IMAGES)
    after, mixed = step_images(source, recipe, mean, 0, _IMAGES) if ops else (before, labels)
    columns = [
        {
            "before": facts.pictures.uri(before[place], _SIDE),
            "after": facts.pictures.uri(after[place], _SIDE),
            "label": _label(labels[place], source.class_names),
            "mixed": _label(mixed[place], source.class_names),
        }
        for place in range(len(before))
    ]
    changed = any(column["label"] != column["mixed"] for column in columns)
    height, width = before.shape[1:3]
    body = render(
        "batch.html",
        columns=columns,
        ops=ops,
        changed=changed,
        size=f"{height} \u00d7 {width}",
        small=max(height, width) < 65,
    )
    return Section(KEY, TITLE, body)


def _label(shares: np.ndarray, class_names: Sequence[str]) -> str:
    """Return a label (classes,) as text; of a mixed image the two largest shares."""
    order = np.argsort(-shares, kind="stable")[:2]
    if shares[order[0]] > 0.995 or len(order) < 2 or shares[order[1]] < 0.005:
        return class_names[int(order[0])]
    return " + ".join(f"{percent(float(shares[i]), 0)} {class_names[int(i)]}" for i in order)

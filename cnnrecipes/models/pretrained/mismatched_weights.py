"""Recognition of weights that do not fit a backbone: which other row or width multiplier they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import keras

from cnnrecipes.models.pretrained.backbone_recognition import owner
from cnnrecipes.models.pretrained.weight_file_reader import LayerArrays, ordered_weights
from cnnrecipes.models.registry import find
from cnnrecipes.models.without_values import without_values
from cnnrecipes.recipe import schema


def whose_weights(spec: schema.Model, found: Sequence[LayerArrays]) -> list[str]:
    """Return the settings, for example "model.alpha = 0.35", that the arrays of a file fit; [] if none is known.

    Other backbones are recognized as for `model.name = "auto"`.
    """
    if alphas := [f"model.alpha = {alpha}" for alpha in _alphas(spec, found)]:
        return alphas
    settings = owner(found) or {}
    if settings.get("name") in (None, spec.name):
        return []
    width = f" with model.alpha = {settings['alpha']}" if "alpha" in settings else ""
    return [f'model.name = "{settings["name"]}"{width}']


def _alphas(spec: schema.Model, found: Sequence[LayerArrays]) -> Iterator[float]:
    """Yield the other width multipliers of the family whose layers have the shapes of the file."""
    if (application := find(spec.name).application) is None:
        return
    for alpha in application.alphas:
        if alpha == spec.alpha:
            continue
        size = application.least
        with without_values():
            stock = application.stock(spec.model_copy(update={"alpha": alpha}), (size, size, 3))
        if fits(stock, found):
            yield alpha


def fits(stock: keras.Model, found: Sequence[LayerArrays]) -> bool:
    """Return True if the arrays of a file begin with the shapes of the backbone `stock`; a head may follow."""
    here = [tuple(weight.shape) for layer in stock.layers for weight in ordered_weights(layer)]
    there = [array.shape for one in found for array in one.arrays]
    return here == there[: len(here)]

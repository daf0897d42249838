"""The model of an unfinished run: the best weights so far, and model.json with the metadata that prediction needs."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnrecipes import models
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.errors import RunError
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs import checkpoint
from cnnrecipes.runs.artifact import Artefact

# Metadata that a model needs besides weights and recipe, written at the start of training.
FILE = "model.json"
BEST = "best.npz"


def description(shape: Sequence[int], class_names: Sequence[str], statistics: Statistics) -> dict[str, Any]:
    """Return the content of `model.json`: input shape (H, W, C), class names, standardization statistics."""
    return {
        "input_shape": list(shape),
        "class_names": list(class_names),
        "statistics": dataclasses.asdict(statistics),
    }


def best_so_far(folder: Path, recipe: Recipe) -> tuple[Artefact, str]:
    """Return an artifact with the weights of the best epoch so far, or of the last checkpoint, and a message on which.

    Raises:
        RunError: there is no checkpoint yet, or a file of the run is damaged.
    """
    try:
        about = json.loads((folder / FILE).read_text(encoding="utf-8"))
        shape, names = tuple(about["input_shape"]), about["class_names"]
        statistics = Statistics(**{key: _tuple(value) for key, value in about["statistics"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{str(folder)!r} is not finished, and its {FILE} cannot be read ({error}); `cnnrecipes resume {folder}` "
            "finishes it"
        ) from None
    best = folder / "checkpoints" / BEST
    found = checkpoint.read(best) if best.is_file() else checkpoint.newest(folder / "checkpoints")
    if found is None:
        raise RunError(
            f"{str(folder)!r} is not finished and has no checkpoint yet; wait for one, or `cnnrecipes resume {folder}`"
        )
    model = models.build(recipe.model, input_shape=shape, classes=len(names), **statistics.for_model)
    model.set_weights(weights_of(found, model))
    which = f"epoch {found.state['epoch']}, the best so far" if best.is_file() else "its last checkpoint"
    said = f"{str(folder)!r} is not finished: these are the weights of {which}; `cnnrecipes resume {folder}` goes on"
    return Artefact(model, recipe, names), said


def weights_of(found: checkpoint.Checkpoint, model: keras.Model) -> list[np.ndarray]:
    """Return the weights of a checkpoint, or of best.npz, in the order of `model.weights`.

    Raises:
        RunError: the file holds no weights.
    """
    best = [found.arrays[name] for name in sorted(found.arrays) if name.startswith("weights/")]
    arrays = [found.arrays[name] for name in sorted(found.arrays) if name.startswith("model/")]
    if not (best or arrays):
        raise RunError(f"{str(found.path)!r} holds no weights of a model; give a checkpoint of a run, or its folder")
    # Some variables of a model are not weights: the RNG states of dropout.
    weights = {id(weight) for weight in model.weights}
    return best or [
        array
        for array, variable in itertools.zip_longest(arrays, model.variables)
        if array is not None and (variable is None or id(variable) in weights)
    ]


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

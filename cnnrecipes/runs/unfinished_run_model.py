"""The model of an unfinished run: the best weights so far, and model.json with the metadata that prediction needs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnrecipes import models
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.errors import RunError
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs import checkpoint, verified_npz
from cnnrecipes.runs.trained_model import Artifact
from cnnrecipes.runs.trained_part import MODEL_FILE, TrainedPart, stored_weights
from cnnrecipes.runs.weights import BEST

# Metadata that prediction needs in addition to weights and recipe, written at the start of training.
FILE = MODEL_FILE


def description(
    shape: Sequence[int],
    class_names: Sequence[str],
    statistics: Statistics,
    part: TrainedPart | None = None,
    images: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Return the dict to be written to `model.json`.

    It has the input shape (H, W, C), class names, standardization statistics, the paths of the trained weights if
    they are not those of the whole model, and the number of images of each split.
    """
    return {
        **({"trained_part": part.record()} if part else {}),
        "input_shape": list(shape),
        "class_names": list(class_names),
        "statistics": dataclasses.asdict(statistics),
        **({"images": dict(images)} if images else {}),
    }


def recorded_statistics(about: Mapping[str, Any]) -> Statistics:
    """Return the standardization statistics of a `description`. Raises KeyError or TypeError if it has none."""
    return Statistics(**{key: _tuple(value) for key, value in about["statistics"].items()})


def best_so_far(folder: Path, recipe: Recipe) -> tuple[Artifact, str]:
    """Return an artifact with the weights of the best epoch so far, or of the last checkpoint, and a message.

    Raises:
        RunError: there is no checkpoint yet, or a file of the run is damaged.
    """
    try:
        about = json.loads((folder / FILE).read_text(encoding="utf-8"))
        shape, names = tuple(about["input_shape"]), about["class_names"]
        statistics = recorded_statistics(about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{str(folder)!r} is not finished, and its {FILE} cannot be read ({error}); `cnnrecipes resume {folder}` "
            "finishes it"
        ) from None
    best = folder / checkpoint.FOLDER / BEST
    if best.is_file():
        arrays, document = verified_npz.read(best)
        which = f"epoch {document['epoch']}, the best so far"
    elif newest := checkpoint.newest(folder):
        best, arrays, which = newest.path, newest.arrays, "its last checkpoint"
    else:
        raise RunError(
            f"{str(folder)!r} is not finished and has no checkpoint yet; wait for one, or `cnnrecipes resume {folder}`"
        )
    spec = recipe.model.model_copy(update={"weights": "none"})
    model = models.build(spec, input_shape=shape, classes=len(names), **statistics.for_model)
    model.set_weights(stored_weights(best, arrays, model))
    message = (
        f"{str(folder)!r} is not finished: these are the weights of {which}; `cnnrecipes resume {folder}` continues it"
    )
    return Artifact(model, recipe, names), message


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

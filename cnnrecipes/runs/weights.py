"""Files of weights alone: best.npz and start_from.npz of a run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnrecipes.errors import RunError
from cnnrecipes.runs import checkpoint, verified_npz

BEST = "best.npz"  # in the checkpoints folder: the weights of the best epoch so far
START = "start_from.npz"  # in a run folder: the weights that train.start_from named


def write_weights(path: Path, weights: Sequence[np.ndarray], **about: Any) -> None:
    """Write weights in the order of `model.weights`, and the JSON values `about`, atomically. Raises OSError."""
    verified_npz.write(path, {f"weights/{number:05d}": array for number, array in enumerate(weights)}, about)


def read_weights(path: Path) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Return the weights in a file and the JSON values stored with them. Raises RunError if it is damaged."""
    arrays, about = verified_npz.read(path)
    return [arrays[name] for name in sorted(arrays) if name.startswith("weights/")], about


def model_weights(path: Path, arrays: dict[str, np.ndarray], model: keras.Model) -> list[np.ndarray]:
    """Return the arrays of a weight file or of a checkpoint in the order of `model.weights`.

    Raises:
        RunError: the file, at `path`, holds no weights.
    """
    weights = [arrays[name] for name in sorted(arrays) if name.startswith("weights/")]
    variables = [arrays[name] for name in sorted(arrays) if name.startswith(f"{checkpoint.MODEL}/")]
    if not (weights or variables):
        raise RunError(f"{str(path)!r} holds no weights of a model; give a checkpoint of a run, or its folder")
    # Some variables of a model are not weights: the RNG states of dropout.
    kept = {id(weight) for weight in model.weights}
    return weights or [
        array
        for array, variable in itertools.zip_longest(variables, model.variables)
        if array is not None and (variable is None or id(variable) in kept)
    ]

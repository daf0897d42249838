"""Weights of a whole model from its initial ones and those that a training of a part of it has stored.

Transfer learning trains a head, the last stages, or low-rank updates: checkpoints and best.npz then hold the variables
of another model than the artifact's. `model.json` of the run has their paths, and start_from.npz the initial weights of
the whole model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnrecipes.errors import RunError
from cnnrecipes.runs import checkpoint
from cnnrecipes.runs.weights import START, model_weights, read_weights

MODEL_FILE = "model.json"  # in a run folder
LORA_A, LORA_B = "lora_kernel_a", "lora_kernel_b"  # names that Keras gives to the factors of an update


@dataclass(frozen=True)
class TrainedPart:
    """Paths of the variables of a model in training, for example "stage1_conv/kernel".

    The whole model has the same paths.

    Attributes:
        weights: in the order of `model.weights`, as best.npz stores them.
        variables: in the order of `model.variables`, as checkpoints store them.
    """

    weights: tuple[str, ...]
    variables: tuple[str, ...]

    @classmethod
    def of(cls, model: keras.Model) -> TrainedPart:
        """Return the paths of a model in training."""
        return cls(tuple(w.path for w in model.weights), tuple(v.path for v in model.variables))

    @classmethod
    def of_run(cls, folder: Path) -> TrainedPart | None:
        """Return the paths that a run's model.json holds; None if the run trains the whole model."""
        try:
            found = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8")).get("trained_part")
        except (OSError, ValueError, AttributeError):
            return None
        return cls(**{key: tuple(value) for key, value in found.items()}) if found else None

    def record(self) -> dict[str, Any]:
        """Return the value of "trained_part" in model.json."""
        return {"weights": list(self.weights), "variables": list(self.variables)}

    def values(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return path -> value for the arrays of best.npz or of a checkpoint."""
        for group, paths in (("weights", self.weights), (checkpoint.MODEL, self.variables)):
            stored = [arrays[name] for name in sorted(arrays) if name.startswith(f"{group}/")]
            if len(stored) == len(paths):
                return dict(zip(paths, stored, strict=True))
        raise RunError(
            f"the weight file does not have the {len(self.weights)} trained weights that {MODEL_FILE} of its run "
            "names; give the run folder"
        )


def whole_weights(
    paths: Sequence[str], start: Sequence[np.ndarray], trained: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """Return the weights of the whole model: the trained ones, low-rank updates added, and otherwise the initial ones.

    Args:
        paths: paths of the whole model's weights.
        start: their initial values.
        trained: path -> value in the model that was trained.
    """
    found = []
    for path, initial in zip(paths, start, strict=True):
        value = trained.get(path, initial)
        layer = path.rpartition("/")[0]
        if path.endswith("/kernel") and f"{layer}/{LORA_A}" in trained:
            value = value + trained[f"{layer}/{LORA_A}"] @ trained[f"{layer}/{LORA_B}"]
        found.append(value)
    return found


def stored_weights(file: Path, arrays: Mapping[str, np.ndarray], model: keras.Model) -> list[np.ndarray]:
    """Return the weights of the whole `model` from the arrays of `file`, a checkpoint or best.npz in a run folder.

    Raises:
        RunError: the file holds no weights, or those of a part of a model whose run folder is incomplete.
    """
    folder = file.absolute().parent.parent
    part = TrainedPart.of_run(folder)
    if part is None or file.absolute().parent.name != checkpoint.FOLDER:
        return model_weights(file, dict(arrays), model)
    start, _ = read_weights(folder / START)
    if len(start) != len(model.weights):
        raise RunError(
            f"{str(folder / START)!r} has {len(start)} weights, {model.name} here has {len(model.weights)}; set the "
            "same model, channels and classes in the recipe"
        )
    return whole_weights([weight.path for weight in model.weights], start, part.values(arrays))

"""Initial weights of a training from a run, a checkpoint or an artifact: `train.start_from`."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras
import numpy as np

from cnnrecipes.errors import RunError
from cnnrecipes.runs import checkpoint, verified_npz
from cnnrecipes.runs.run import Run, load
from cnnrecipes.runs.trained_part import stored_weights


def set_initial_weights(model: keras.Model, source: str | Path) -> None:
    """Set the weights that `train.start_from` names: of a run, finished or not, a checkpoint, or an artifact.

    Raises:
        RunError: there are no weights, or the weights named in the message do not fit the model.
    """
    found = _stored_weights(Path(source), model)
    for here, there in zip(model.weights, found, strict=False):
        if tuple(here.shape) != there.shape:
            raise RunError(
                f"train.start_from = {str(source)!r}: {here.path} has shape {there.shape} there, and "
                f"{tuple(here.shape)} in {model.name} here; set the same model, channels and classes"
            )
    if len(found) != len(model.weights):
        raise RunError(
            f"train.start_from = {str(source)!r} has {len(found)} weights, {model.name} here has {len(model.weights)}; "
            "set the same model, channels and classes in the recipe"
        )
    model.set_weights(found)


def _stored_weights(path: Path, model: keras.Model) -> list[np.ndarray]:
    if path.suffix == ".npz":
        return _of_file(path, model)
    opened = load(path)
    if not isinstance(opened, Run) or opened.finished:
        return [weight.numpy() for weight in opened.model.weights]
    newest = checkpoint.newest(opened.folder)
    if newest is None:
        raise RunError(f"train.start_from = {str(path)!r} was stopped before it wrote a checkpoint; give another run")
    return stored_weights(newest.path, newest.arrays, model)


def _of_file(path: Path, model: keras.Model) -> list[np.ndarray]:
    found = stored_weights(path, _arrays(path), model)
    if len(found) != len(model.weights):
        raise RunError(
            f"train.start_from = {str(path)!r} has {len(found)} weights, {model.name} here has {len(model.weights)}; "
            "set the same model, channels and classes in the recipe, and leave the file in its run folder: a run that "
            "trained a part of its model has the rest in another file"
        )
    return found


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a checkpoint file. Raises RunError if it is missing, damaged, or of another program."""
    if not path.is_file():
        raise RunError(f"train.start_from = {str(path)!r} does not exist; give a run, a checkpoint or a model.keras")
    try:
        with zipfile.ZipFile(path) as archive:
            ours = verified_npz.STATE in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        ours = True  # damaged; reading it raises the error
    if not ours:
        raise RunError(
            f"train.start_from = {str(path)!r} is not a checkpoint of cnnrecipes; give a run, a checkpoint or a "
            "model.keras (cnnrecipes.load_state_dict reads weights of PyTorch)"
        )
    return verified_npz.read(path)[0]

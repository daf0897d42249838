"""Reader of pretrained weight files: the arrays of `.weights.h5`, legacy `.h5` and `.keras` files by layer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import keras
import numpy as np

from cnnrecipes._support import keras_settings
from cnnrecipes._support.plugins import import_plugins
from cnnrecipes.errors import ModelError, one_line

ARTIFACT = "model.keras"
_HDF5, _ZIP = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"
_KINDS = "a .weights.h5 or .h5 file of keras.applications, a .keras model, or the folder of a finished run"


class LayerArrays(NamedTuple):
    """The arrays of one layer of a file, trainable ones first."""

    name: str
    arrays: list[np.ndarray]


def locate(source: str) -> Path:
    """Return the file that `model.weights` names: itself, or the model.keras of a run folder.

    Raises:
        ModelError: it does not exist, or is not a file of weights.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        if not (path / ARTIFACT).is_file():
            unfinished = (path / "recipe.toml").is_file()
            resume = f"is an unfinished run: finish it with `cnnrecipes resume {path}`, or"
            why = resume if unfinished else "is no run folder;"
            raise ModelError(f"model.weights = {source!r} has no {ARTIFACT}, it {why} give {_KINDS}")
        return path / ARTIFACT
    if not path.is_file():
        raise ModelError(f'model.weights = {source!r} does not exist; give "none", "imagenet", or the path of {_KINDS}')
    _check_content(source, path)
    return path


def is_model(path: Path) -> bool:
    """Return True for a .keras file, by its content."""
    with open(path, "rb") as file:
        return file.read(len(_ZIP)) == _ZIP


def load_model(path: Path) -> keras.Model:
    """Return the model of a .keras file, uncompiled. Raises ModelError if it is damaged."""
    import_plugins()  # they may register layers of the model with Keras
    try:
        with keras_settings.float32():
            return keras.saving.load_model(path, compile=False)
    except Exception as error:  # damaged files raise different exceptions in zipfile, json, h5py and Keras
        raise ModelError(_damaged(path, error)) from error


def read_arrays(path: Path, stock: keras.Model) -> list[LayerArrays]:
    """Return the arrays of an HDF5 file by layer, in the order of `stock.layers`; those of a head follow.

    `.weights.h5` files name layers by class and number, which `stock`, the model without its head, puts into order.

    Raises:
        ModelError: the file is damaged, or has no weights of a Keras model.
    """
    try:
        with h5py.File(path) as file:
            if "layers" in file or "_layer_checkpoint_dependencies" in file:
                return list(_by_class(file["layers" if "layers" in file else "_layer_checkpoint_dependencies"], stock))
            group = file.get("model_weights", file)
            if "layer_names" in group.attrs:
                return list(_by_name(group))
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise ModelError(_damaged(path, error)) from error
    raise ModelError(f"model.weights = {str(path)!r} is an HDF5 file without weights of a Keras model; give {_KINDS}")


def model_arrays(model: keras.Model) -> list[LayerArrays]:
    """Return the arrays of a model's layers that have weights, as `read_arrays` does."""
    return [
        LayerArrays(layer.name, [weight.numpy() for weight in ordered_weights(layer)])
        for layer in model.layers
        if layer.weights
    ]


def ordered_weights(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Return the weights of a layer in the order of files: trainable ones, frozen or not, then the others."""
    inner = layer.layers if isinstance(layer, keras.Model) else [layer]
    return [weight for one in inner for weight in one.weights]


def _by_name(group: h5py.Group) -> Iterator[LayerArrays]:
    """Yield the layers of a legacy file, which lists names of layers and weights in attributes."""
    for name in _texts(group.attrs["layer_names"]):
        arrays = [np.asarray(group[name][weight]) for weight in _texts(group[name].attrs["weight_names"])]
        if arrays:
            yield LayerArrays(name, arrays)


def _by_class(group: h5py.Group, model: keras.Model) -> Iterator[LayerArrays]:
    """Yield the layers of a `.weights.h5` file: layers/conv2d, layers/conv2d_1 and so on, each with vars/0, vars/1."""
    counts: Counter[str] = Counter()
    used = set()
    for layer in model.layers:
        key = _key(layer, counts)
        used.add(key)
        if isinstance(layer, keras.Model):
            inner = list(_by_class(group[key]["layers"], layer)) if key in group else []
            yield LayerArrays(layer.name, [array for one in inner for array in one.arrays])
        elif layer.weights:
            yield LayerArrays(layer.name, _variables(group[key]) if key in group else [])
    for key in group:
        if key not in used and (arrays := _variables(group[key])):
            yield LayerArrays(key, arrays)


def _key(layer: keras.layers.Layer, counts: Counter[str]) -> str:
    """Return the group name of a layer as Keras counts them (keras/src/saving/saving_lib.py)."""
    words = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
    words = re.sub("([a-z])([A-Z])", r"\1_\2", words).lower()
    counts[words] += 1
    return words if counts[words] == 1 else f"{words}_{counts[words] - 1}"


def _variables(group: h5py.Group) -> list[np.ndarray]:
    stored = group.get("vars", {})
    return [np.asarray(stored[key]) for key in sorted(stored, key=int)]


def _texts(names) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _check_content(source: str, path: Path) -> None:
    """Raise ModelError for a file that is neither HDF5 nor a .keras file, by its first bytes."""
    with open(path, "rb") as file:
        head = file.read(512)
    if head.startswith((_HDF5, _ZIP)):
        return
    start = head.lstrip().lower()
    if not head:
        what = "an empty file: download it again"
    elif start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        what = "a web page (HTML), for example of an error: download the file itself"
    elif start.startswith(b"version https://git-lfs"):
        what = "a pointer of Git LFS: fetch the file itself with `git lfs pull`"
    else:
        what = "neither an HDF5 nor a .keras file"
    raise ModelError(f"model.weights = {source!r} is {what}; give {_KINDS}")


def _damaged(path: Path, error: Exception) -> str:
    what = one_line(error)
    return (
        f"model.weights = {str(path)!r} is damaged or incomplete ({type(error).__name__}: {what[:200]}); copy or "
        "download it again"
    )

"""`model.name = "auto"`: the backbone that the machine, or a given file of weights, calls for."""

from __future__ import annotations

import functools
import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from cnnrecipes.errors import ModelError
from cnnrecipes.models.architecture_sizes import SIZES
from cnnrecipes.models.pretrained import weight_file_reader
from cnnrecipes.models.pretrained.weight_file_reader import LayerArrays
from cnnrecipes.models.registry import ARCHITECTURES, applications, find
from cnnrecipes.models.without_values import without_values
from cnnrecipes.recipe import schema

AUTO = "auto"
ON_CPU, ON_GPU = "mobilenet_v2", "efficientnet_v2_b0"
_ARTIFACT_ENTRY = "cnnrecipes.json"


def resolved(spec: schema.Model) -> schema.Model:
    """Return a `model` table whose name is an architecture: "auto" is replaced, everything else returned unchanged.

    With a file of weights or a run, that is the backbone they belong to; else MobileNetV2 on a CPU and
    EfficientNetV2-B0 on a GPU.

    Raises:
        ModelError: the file is missing or damaged, or belongs to no known backbone.
    """
    if spec.name != AUTO:
        return spec
    if spec.weights in ("none", "imagenet"):
        return spec.model_copy(update={"name": ON_GPU if _has_gpu() else ON_CPU})
    path = weight_file_reader.locate(spec.weights)
    if weight_file_reader.is_model(path) and (table := _recorded(path)):
        kept = {key: value for key, value in table.items() if key not in ("weights", "head", "dropout")}
        return spec.model_copy(update=schema.model_spec(kept.pop("name"), **kept).model_dump(exclude_unset=True))
    if weight_file_reader.is_model(path):
        found = weight_file_reader.model_arrays(weight_file_reader.load_model(path))
    else:
        found = weight_file_reader.read_arrays(path, _stock(ON_CPU, 1.0))
    return spec.model_copy(update=_owner(found, spec.weights))


def _owner(found: list[LayerArrays], source: str) -> dict[str, Any]:
    """Return the name, and the width multiplier if any, of the backbone with the number of values of a file.

    The file may have a linear head too.
    """
    total = sum(math.prod(array.shape) for one in found for array in one.arrays)
    classes = found[-1].arrays[-1].shape[-1] if found and found[-1].arrays else 0
    for settings, backbone, channels in _sizes():
        if total - backbone in (0, (channels + 1) * classes):
            return settings
    raise ModelError(
        f"model.weights = {source!r} has {total:,} parameters, those of no backbone of `cnnrecipes models`; set "
        "model.name to the backbone it belongs to"
    )


def _sizes() -> Iterator[tuple[dict[str, Any], int, int]]:
    """Yield settings, parameters and output channels of all backbones; those with another width are built for it."""
    rows = {name: row for name, row in applications().items() if name in SIZES}
    for name, row in rows.items():
        yield {"name": name, **row.options}, SIZES[name].backbone, SIZES[name].channels
    for name, row in rows.items():
        for alpha in row.application.alphas if row.application else ():
            if alpha != row.options["alpha"]:
                yield {"name": name, "alpha": alpha}, *_size(name, alpha)


@functools.cache
def _size(name: str, alpha: float) -> tuple[int, int]:
    """Return parameters and output channels of a backbone of a width that `SIZES` does not list."""
    stock = _stock(name, alpha)
    return stock.count_params(), stock.output_shape[-1]


def _stock(name: str, alpha: float) -> keras.Model:
    """Return the backbone of `keras.applications` at its least image size, with shapes but no values."""
    spec = schema.Model(name=name, alpha=alpha)
    application = find(name).own_application(spec)
    with without_values():
        return application.stock(spec, (application.least, application.least, 3))


def _recorded(path: Path) -> dict[str, Any] | None:
    """Return the `model` table of an artifact; None for other Keras files."""
    try:
        with zipfile.ZipFile(path) as archive:
            table = json.loads(archive.read(_ARTIFACT_ENTRY))["recipe"]["model"]
    except (KeyError, ValueError, TypeError, OSError, zipfile.BadZipFile):
        return None
    return table if table.get("name") in ARCHITECTURES else None


def _has_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))

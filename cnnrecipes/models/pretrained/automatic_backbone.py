"""`model.name = "auto"`: the backbone that the machine, or a given file of weights, calls for."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnrecipes.errors import ModelError
from cnnrecipes.models.pretrained import backbone_recognition, weight_file_reader
from cnnrecipes.models.pretrained.weight_file_reader import LayerArrays
from cnnrecipes.models.registry import ARCHITECTURES, find
from cnnrecipes.recipe import schema

AUTO = "auto"
ON_CPU, ON_GPU = "mobilenet_v2", "efficientnet_v2_b0"
_DROPOUTS = ("dropout", "block_dropout", "spatial_dropout", "stochastic_depth")
# Options that weights of a backbone leave free: its head, and what only the training uses.
_FREE = ("weights", "head", "init", "zero_init_residual", *_DROPOUTS)
_ARTIFACT_ENTRY = "cnnrecipes.json"


def resolved(spec: schema.Model) -> schema.Model:
    """Return a `model` table whose name is an architecture: "auto" is replaced, everything else returned unchanged.

    With a file of weights or a run, that is the backbone they belong to; else MobileNetV2 on a CPU and
    EfficientNetV2-B0 on a GPU.

    Raises:
        ModelError: the file is missing or damaged, belongs to no known backbone, or contradicts an option that is set.
    """
    if spec.name != AUTO:
        return spec
    if spec.weights in ("none", "imagenet"):
        return spec.model_copy(update={"name": ON_GPU if _has_gpu() else ON_CPU})
    path = weight_file_reader.locate(spec.weights)
    if weight_file_reader.is_model(path) and (table := _recorded(path)):
        kept = {key: value for key, value in table.items() if key not in ("weights", "head", "dropout")}
        return _joined(spec, schema.model_spec(kept.pop("name"), **kept))
    if weight_file_reader.is_model(path):
        found = weight_file_reader.model_arrays(weight_file_reader.load_model(path))
    else:
        found = weight_file_reader.read_arrays(path, backbone_recognition.stock(ON_CPU, 1.0))
    return _joined(spec, schema.Model(**_owner(found, spec.weights)))


def _owner(found: Sequence[LayerArrays], source: str) -> dict[str, Any]:
    """Return the name, and the width multiplier if any, of the backbone that the arrays of a file belong to."""
    if settings := backbone_recognition.owner(found):
        return settings
    total = sum(math.prod(array.shape) for one in found for array in one.arrays)
    raise ModelError(
        f"model.weights = {source!r} has {total:,} parameters, those of no backbone of `cnnrecipes models`; set "
        "model.name to the backbone it belongs to"
    )


def _joined(spec: schema.Model, theirs: schema.Model) -> schema.Model:
    """Return the table `theirs` of a file's backbone with the user's options that the weights leave free.

    Raises:
        ModelError: the user set another option that the backbone of the file has otherwise.
    """
    unset, complete = schema.Model(name=spec.name), find(theirs.name).complete(theirs)
    given = {
        key: value
        for key in schema.Model.model_fields
        if key != "name" and (value := getattr(spec, key)) != getattr(unset, key)
    }
    for key, value in given.items():
        if key not in _FREE and value != (known := getattr(complete, key)):
            has = f"{theirs.name}, which has no {key}" if known is None else f"{theirs.name} with {key} = {known!r}"
            raise ModelError(
                f"model.{key} = {value!r} contradicts model.weights = {spec.weights!r}, weights of {has}; leave "
                f"model.{key} out, or give other weights"
            )
    return theirs.model_copy(update=given)


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

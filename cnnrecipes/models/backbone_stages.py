"""Stages of a backbone, found by the layer names of a built or loaded model.

A stage is the layers whose names begin with "stage1_", "stage2_" and so on; layers named "last_..." belong to the last
one. The layers before the first stage are the stem, with the input and the standardization; those after are the head.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import keras

from cnnrecipes.errors import ModelError

_STAGE = re.compile(r"(stage\d+)_")
_AFTER_THE_STAGES = "last_"


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage of a backbone.

    Attributes:
        name: "stage1", "stage2" and so on.
        stride: pixels of the image for each pixel of the output.
        channels: number of output channels.
        output: symbolic output, (N, ceil(H / stride), ceil(W / stride), channels) in a ResNet.
        layers: the layers of the stage in topological order.
    """

    name: str
    stride: int
    channels: int
    output: keras.KerasTensor
    layers: tuple[keras.layers.Layer, ...]


@dataclass(frozen=True, eq=False)
class Backbone:
    """The layers of a classifier before its head, shared with the classifier.

    All stages together, for example for a feature pyramid: `keras.Model(backbone.model.input, [stage.output for stage
    in backbone.stages])`.

    Attributes:
        model: images (N, H, W, C), 0..255 -> the last stage's output.
        stem: the layers before the first stage.
        stages: the stages, first to last.
    """

    model: keras.Model
    stem: tuple[keras.layers.Layer, ...]
    stages: tuple[Stage, ...]

    @classmethod
    def of(cls, model: keras.Model) -> Backbone:
        """Return the backbone of a model of `cnnrecipes.build`, built or loaded; its layers are shared, not copied.

        Raises:
            ModelError: not a functional model with layers named by stage.
        """
        stem, groups = _group(model)
        strides = _strides(model)
        stages = tuple(_stage(name, layers, strides) for name, layers in groups.items())
        features = keras.Model(model.input, stages[-1].output, name=f"{model.name}_backbone")
        return cls(features, tuple(stem), stages)


def stages(model: keras.Model) -> tuple[Stage, ...]:
    """Return the stages of a model of `cnnrecipes.build`, built or loaded. Raises ModelError as `Backbone.of`."""
    return Backbone.of(model).stages


def layers_by_stage(model: keras.Model) -> dict[str, tuple[keras.layers.Layer, ...]]:
    """Return a dict from "stem", each stage's name, and "head" to their layers.

    Args:
        model: a classifier of `cnnrecipes.build`, or a model of its last stages only.

    Raises:
        ModelError: not a functional model with layers named by stage.
    """
    stem, stages = _group(model)
    groups = {"stem": tuple(stem), **{name: tuple(layers) for name, layers in stages.items()}}
    known = {id(layer) for layers in groups.values() for layer in layers}
    return {**groups, "head": tuple(layer for layer in model.layers if id(layer) not in known)}


def _group(model: keras.Model) -> tuple[list[keras.layers.Layer], dict[str, list[keras.layers.Layer]]]:
    """Return the layers of the stem, and a dict from each stage's name to its layers."""
    if not isinstance(model, keras.Model):
        raise ModelError(f"expected a keras.Model, got {type(model).__name__}; give a model of cnnrecipes.build")
    stem: list[keras.layers.Layer] = []
    groups: dict[str, list[keras.layers.Layer]] = {}
    for layer in model.layers:
        if match := _STAGE.match(layer.name):
            groups.setdefault(match[1], []).append(layer)
        elif not groups:
            stem.append(layer)
        elif layer.name.startswith(_AFTER_THE_STAGES):
            groups[next(reversed(groups))].append(layer)
    if not groups or not hasattr(model, "operations"):
        raise ModelError(
            f"{model.name} has no stages: none of its {len(model.layers)} layers is named stage1_...; give a "
            "functional model of cnnrecipes.build, or name the layers of the family like this"
        )
    return stem, groups


def _stage(name: str, layers: list[keras.layers.Layer], strides: dict[int, int]) -> Stage:
    output = layers[-1].output
    return Stage(name, strides[id(output)], output.shape[-1], output, tuple(layers))


def _strides(model: keras.Model) -> dict[int, int]:
    """Return tensor id -> stride relative to the image, for each tensor of a functional model."""
    strides: dict[int, int] = {}
    for operation in model.operations:
        before = [strides[id(tensor)] for tensor in _inputs(operation)]
        for tensor in keras.tree.flatten(operation.output):
            strides[id(tensor)] = max(before, default=1) * _own_stride(operation)
    return strides


def _inputs(operation: keras.Operation) -> list[keras.KerasTensor]:
    return [] if isinstance(operation, keras.layers.InputLayer) else keras.tree.flatten(operation.input)


def _own_stride(operation: keras.Operation) -> int:
    stride: Any = getattr(operation, "strides", None) or getattr(operation, "stride", 1)
    return stride[0] if isinstance(stride, (tuple, list)) else stride

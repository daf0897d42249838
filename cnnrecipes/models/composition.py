"""Models composed of a backbone, images to feature maps, and a head, features to logits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import keras
import numpy as np

from cnnrecipes import layers
from cnnrecipes.errors import ModelError
from cnnrecipes.models.architecture import Architecture, option
from cnnrecipes.models.backbone_stages import Backbone
from cnnrecipes.models.heads import Head, find_head
from cnnrecipes.models.pretrained.automatic_backbone import resolved
from cnnrecipes.models.pretrained.weights import set_backbone_weights
from cnnrecipes.models.registry import find
from cnnrecipes.models.standardization_layer import standardized
from cnnrecipes.recipe import schema

# After these activations, zero padding never changes a maximum.
NONNEGATIVE = ("relu", "sigmoid")


def build(
    model: str | schema.Model,
    *,
    input_shape: Sequence[int],
    classes: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    per_image: bool = False,
    norm: str | Callable | None = None,
    activation: str | Callable | None = None,
    init: str | Callable | None = None,
    pool: str | Callable | None = None,
    head: str | Head | None = None,
    **options: Any,
) -> keras.Model:
    """Build a functional model: images (N, H, W, C), 0..255 -> logits (N, classes), float32.

    Args:
        model: an architecture's name, or the `model` table of a recipe.
        input_shape: (H, W, C) of the images.
        classes: number of classes, at least 2.
        mean, std: per channel, on the scale 0..255; constants of the first layer. None: no standardization. A backbone
            of `keras.applications` has its own preprocessing, and these have no effect.
        per_image: standardize each image by its own mean and deviation, over all its values, instead.
        norm, activation, init, pool: a name, or a factory of `cnnrecipes.layers`; None: that of `model`.
        head: the name of a registered head, or a function (see `models.register_head`); None: that of `model`.
        options: other keys of a recipe's `model` table, for example `stem="cifar"`.

    Raises:
        UnknownNameError: no such architecture or part.
        RecipeError: an unknown or ill-typed option.
        ModelError: an option, an input shape or a number of classes that the architecture does not support.
    """
    if not (head is None or isinstance(head, str) or callable(head)):
        raise ModelError(f"head is {head!r}; give the name of a registered head, or a function")
    design = _design(model, {"norm": norm, "activation": activation, "init": init, "pool": pool}, options)
    head = find_head(head or option(design.spec, "head"))
    images = _images(input_shape)
    _check_classes(design.spec.name, classes)
    features = design.features(images, mean=mean, std=std, per_image=per_image)
    logits = head(features, int(classes), dropout=design.spec.dropout, factories=design.factories)
    made = keras.Model(images, logits, name=design.spec.name)
    if design.spec.weights != "none":
        set_backbone_weights(made, design.spec)
    return made


def build_head(model: schema.Model, channels: int, classes: int) -> keras.Model:
    """Build the head of a model alone: feature maps (N, 1, 1, channels) -> logits (N, classes), float32."""
    design = _design(model, {}, {})
    maps = keras.Input((1, 1, channels), name="features")
    head = find_head(option(design.spec, "head"))
    logits = head(maps, classes, dropout=design.spec.dropout, factories=design.factories)
    return keras.Model(maps, logits, name=design.spec.name)


def backbone(
    model: str | schema.Model,
    *,
    input_shape: Sequence[int],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    per_image: bool = False,
    norm: str | Callable | None = None,
    activation: str | Callable | None = None,
    init: str | Callable | None = None,
    pool: str | Callable | None = None,
    **options: Any,
) -> Backbone:
    """Build an architecture without a head: images (N, H, W, C), 0..255 -> feature maps. Arguments as for `build`."""
    design = _design(model, {"norm": norm, "activation": activation, "init": init, "pool": pool}, options)
    images = _images(input_shape)
    features = design.features(images, mean=mean, std=std, per_image=per_image)
    return Backbone.of(keras.Model(images, features, name=design.spec.name))


@dataclass(frozen=True)
class _Design:
    """An architecture with all options set, and its layer factories."""

    architecture: Architecture
    spec: schema.Model
    factories: layers.LayerFactories

    def features(self, images, **statistics: Any):
        if self.architecture.application:
            return self.architecture.feature_map(images, self.spec, self.factories)
        x = standardized(images, self.spec.name, **statistics)
        return self.architecture.feature_map(x, self.spec, self.factories)


def _design(model: str | schema.Model, given: Mapping[str, Any], options: dict[str, Any]) -> _Design:
    """Return the design of a model; `given` maps norm, activation, init and pool to a name, a factory or None."""
    for key, value in given.items():
        if not (value is None or isinstance(value, str) or callable(value) or isinstance(value, keras.Initializer)):
            raise ModelError(
                f"{key} is {value!r}; give a name, as for the recipe key model.{key}, or a factory of cnnrecipes.layers"
            )
    options |= {key: value for key, value in given.items() if isinstance(value, str)}
    callables = {key: value for key, value in given.items() if value is not None and not isinstance(value, str)}
    spec = resolved(schema.model_spec(model, **options))
    architecture = find(spec.name)
    spec = architecture.complete(spec)
    return _Design(architecture, spec, _factories(spec, callables))


def _factories(spec: schema.Model, callables: Mapping[str, Callable]) -> layers.LayerFactories:
    """Return the layer factories of a spec; `callables` replace those that the spec names."""
    init = layers.initializer(callables.get("init", spec.init))
    bare = "norm" not in callables and spec.norm == "none"
    nonnegative = "activation" not in callables and spec.activation in NONNEGATIVE and spec.variant != "v2"
    return layers.LayerFactories(
        conv=functools.partial(layers.conv2d, use_bias=bare, init=init),
        norm=layers.norm(callables.get("norm", spec.norm or "batch"), spec.norm_groups),
        activation=layers.activation(callables.get("activation", spec.activation)),
        pool=layers.pool(callables.get("pool", spec.pool or "max"), nonnegative=nonnegative),
        init=init,
    )


def _images(input_shape: Sequence[int]) -> keras.KerasTensor:
    sizes = tuple(input_shape) if np.iterable(input_shape) else (input_shape,)
    if len(sizes) != 3 or not all(isinstance(n, Integral) and n > 0 for n in sizes):
        raise ModelError(f"input_shape is {input_shape!r}; give (height, width, channels) as positive integers")
    return keras.Input(sizes, name="images")


def _check_classes(name: str, classes: int) -> None:
    if not isinstance(classes, Integral):
        raise ModelError(f"classes is {classes!r}; give the number of classes as an integer")
    if classes < 2:
        raise ModelError(f"{name} for {classes} class(es); a classifier needs at least 2")

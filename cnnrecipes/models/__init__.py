"""Architectures: each family a table of depths and one builder; `build` makes a plain functional `keras.Model`."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import keras

from cnnrecipes import layers, recipe
from cnnrecipes.errors import ModelError, UnknownNameError
from cnnrecipes.layers.activation import ActivationFactory
from cnnrecipes.layers.norm import NormFactory
from cnnrecipes.models import resnet, vgg

# name -> features(x, spec, conv=, norm=, activation=), the layers between the input and the head
ARCHITECTURES: dict[str, Callable] = {**resnet.ARCHITECTURES, **vgg.ARCHITECTURES}


def find(name: str) -> Callable:
    """The builder of an architecture. Raises UnknownNameError listing the nearest names."""
    if name not in ARCHITECTURES:
        raise UnknownNameError("model", name, ARCHITECTURES)
    return ARCHITECTURES[name]


def build(
    model: str | recipe.Model,
    *,
    input_shape: Sequence[int],
    classes: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    norm: str | NormFactory | None = None,
    activation: str | ActivationFactory | None = None,
    **options: Any,
) -> keras.Model:
    """A functional model: images (N, H, W, C) with values 0..255 in, logits (N, classes) in float32 out.

    Args:
        model: an architecture's name, or the `model` table of a recipe.
        input_shape: (H, W, C) of the images.
        classes: number of classes, at least 2.
        mean, std: per channel, on the scale 0..255; constants of the first layer. None: no standardization.
        norm, activation: a name or a factory; None: as `model` says.
        options: other keys of a recipe's `model` table, as `stem="cifar"`.

    Raises:
        UnknownNameError: no such architecture, norm or activation.
        RecipeError: an unknown or ill-typed option.
        ModelError: an input shape or a number of classes that the architecture cannot have.
    """
    named = {"norm": norm, "activation": activation}
    options |= {key: value for key, value in named.items() if isinstance(value, str)}
    spec = recipe.model_spec(model, **options)
    features = find(spec.name)
    _check_sizes(spec.name, input_shape, classes)
    parts = {
        "conv": functools.partial(layers.conv2d, use_bias=(norm or spec.norm) == "none"),
        "norm": norm if callable(norm) else layers.norm(spec.norm, spec.norm_groups),
        "activation": activation if callable(activation) else layers.activation(spec.activation),
    }
    x = images = keras.Input(tuple(input_shape), name="images")
    if mean is not None:
        x = standardize(mean, std)(x)
    try:
        x = features(x, spec, **parts)
    except ValueError as error:
        # Keras names both numbers, the wrong way round.
        found = re.match(r"Number of groups \((\d+)\).*number of channels \((\d+)\)", str(error))
        if found is None:
            raise
        groups, channels = found.groups()
        raise ModelError(
            f"{spec.name}: {groups} groups do not divide {channels} channels; take a divisor as model.norm_groups"
        ) from None
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    if spec.dropout:
        x = keras.layers.Dropout(spec.dropout, name="dropout")(x)
    logits = keras.layers.Dense(classes, kernel_initializer="he_normal", dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name=spec.name)


def standardize(mean: Sequence[float], std: Sequence[float]) -> keras.Layer:
    """The layer (x - mean) / std, per channel, in float32 whatever the precision of the layers behind it."""
    variance = [float(s) ** 2 for s in std]
    mean = [float(m) for m in mean]
    return keras.layers.Normalization(mean=mean, variance=variance, dtype="float32", name="standardize")


def _check_sizes(name: str, input_shape: Sequence[int], classes: int) -> None:
    sizes = tuple(input_shape) if isinstance(input_shape, Sequence) else (input_shape,)
    if len(sizes) != 3 or not all(isinstance(n, Integral) and n > 0 for n in sizes):
        raise ModelError(f"input_shape is {input_shape!r}; give (height, width, channels) as positive integers")
    if not isinstance(classes, Integral):
        raise ModelError(f"classes is {classes!r}; give the number of classes as an integer")
    if classes < 2:
        raise ModelError(f"{name} for {classes} class(es); a classifier needs at least 2")

"""Model architectures by name; `build` returns a functional `keras.Model`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import keras
import numpy as np

from cnnrecipes import layers
from cnnrecipes.errors import ModelError, UnknownNameError
from cnnrecipes.models import alexnet, fast_cnn, plain, resnet, resnext, vgg, wide_resnet
from cnnrecipes.models.architecture import Architecture
from cnnrecipes.models.heads import head
from cnnrecipes.recipe import schema

FAMILIES = (alexnet, vgg, plain, resnet, wide_resnet, resnext, fast_cnn)
ARCHITECTURES: dict[str, Architecture] = {
    name: row for family in FAMILIES for name, row in family.ARCHITECTURES.items()
}

# After these activations, zero padding never changes a maximum.
NONNEGATIVE = ("relu", "sigmoid")


def find(name: str) -> Architecture:
    """Return an architecture by name. Raises UnknownNameError listing the nearest names."""
    if name not in ARCHITECTURES:
        raise UnknownNameError("model", name, ARCHITECTURES)
    return ARCHITECTURES[name]


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
    **options: Any,
) -> keras.Model:
    """Build a functional model: images (N, H, W, C), 0..255 -> logits (N, classes), float32.

    Args:
        model: an architecture's name, or the `model` table of a recipe.
        input_shape: (H, W, C) of the images.
        classes: number of classes, at least 2.
        mean, std: per channel, on the scale 0..255; constants of the first layer. None: no standardization.
        per_image: standardize each image by its own mean and deviation, over all its values, instead.
        norm, activation, init, pool: a name, or a factory as `cnnrecipes.layers` makes them; None: as `model` says.
        options: other keys of a recipe's `model` table, for example `stem="cifar"`.

    Raises:
        UnknownNameError: no such architecture or part.
        RecipeError: an unknown or ill-typed option.
        ModelError: an option, an input shape or a number of classes that the architecture does not support.
    """
    given = {"norm": norm, "activation": activation, "init": init, "pool": pool}
    for key, value in given.items():
        if not (value is None or isinstance(value, str) or callable(value) or isinstance(value, keras.Initializer)):
            raise ModelError(f"{key} is {value!r}; give a name or a factory")
    options |= {key: value for key, value in given.items() if isinstance(value, str)}
    callables = {key: value for key, value in given.items() if value is not None and not isinstance(value, str)}
    spec = schema.model_spec(model, **options)
    architecture = find(spec.name)
    spec = architecture.complete(spec)
    _check_sizes(spec.name, input_shape, classes)
    x = images = keras.Input(tuple(input_shape), name="images")
    if mean is not None or std is not None:
        _check_statistics(spec.name, mean, std, input_shape[2])
        x = standardize(mean, std)(x)
    elif per_image:
        x = standardize_image()(x)
    parts = _parts(spec, callables)
    init = parts.pop("init")
    x = architecture.features(x, spec, **parts)
    logits = head(x, spec, int(classes), activation=parts["activation"], init=init)
    return keras.Model(images, logits, name=spec.name)


def _parts(spec: schema.Model, callables: dict[str, Callable]) -> dict[str, Callable]:
    """Return the layer factories for the blocks; callables override what the spec names."""
    init = layers.initializer(callables.get("init", spec.init))
    bare = "norm" not in callables and spec.norm == "none"
    nonnegative = "activation" not in callables and spec.activation in NONNEGATIVE and spec.variant != "v2"
    return {
        "conv": functools.partial(layers.conv2d, use_bias=bare, init=init),
        "norm": layers.norm(callables.get("norm", spec.norm), spec.norm_groups),
        "activation": layers.activation(callables.get("activation", spec.activation)),
        "pool": layers.pool(callables.get("pool", spec.pool or "max"), nonnegative=nonnegative),
        "init": init,
    }


def standardize(mean: Sequence[float], std: Sequence[float]) -> keras.Layer:
    """Return a layer that computes (x - mean) / std per channel, in float32 regardless of the dtype policy."""
    variance = [float(s) ** 2 for s in std]
    mean = [float(m) for m in mean]
    return keras.layers.Normalization(mean=mean, variance=variance, dtype="float32", name="standardize")


def standardize_image() -> keras.Layer:
    """Return a layer that computes (x - mean) / sqrt(variance + 0.001) over all values of each image, in float32."""
    axes = (1, 2, 3)
    return keras.layers.LayerNormalization(axes, 1e-3, center=False, scale=False, dtype="float32", name="standardize")


def _check_statistics(name: str, mean: Sequence[float], std: Sequence[float], channels: int) -> None:
    for what, values in (("mean", mean), ("std", std)):
        if values is None or np.shape(values) != (channels,) or not np.isfinite(values).all():
            raise ModelError(f"{name}: {what} is {values!r}; give mean and std as {channels} numbers, one a channel")
    if min(std) <= 0:
        raise ModelError(f"{name}: std is {std!r}; a channel that never changes cannot be standardized, give it 1")


def _check_sizes(name: str, input_shape: Sequence[int], classes: int) -> None:
    sizes = tuple(input_shape) if np.iterable(input_shape) else (input_shape,)
    if len(sizes) != 3 or not all(isinstance(n, Integral) and n > 0 for n in sizes):
        raise ModelError(f"input_shape is {input_shape!r}; give (height, width, channels) as positive integers")
    if not isinstance(classes, Integral):
        raise ModelError(f"classes is {classes!r}; give the number of classes as an integer")
    if classes < 2:
        raise ModelError(f"{name} for {classes} class(es); a classifier needs at least 2")

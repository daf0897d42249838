"""Pretrained weights of a backbone: of keras.applications, a file, or a run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np

from cnnrecipes.errors import ModelError
from cnnrecipes.models.backbone_stages import Backbone
from cnnrecipes.models.pretrained import weight_file_reader
from cnnrecipes.models.pretrained.application import Application
from cnnrecipes.models.pretrained.imagenet_weights import load_imagenet
from cnnrecipes.models.pretrained.mismatched_weights import whose_weights
from cnnrecipes.models.pretrained.preprocessing import TORCH_MEAN, TORCH_STD
from cnnrecipes.models.pretrained.weight_file_reader import LayerArrays, model_arrays, ordered_weights
from cnnrecipes.models.registry import find, keras_twin
from cnnrecipes.recipe import schema

# VGG's own head has the most arrays: two of each of three dense layers.
_ARRAYS_OF_A_HEAD = 6


def set_backbone_weights(model: keras.Model, spec: schema.Model) -> None:
    """Set the weights that `spec.weights` names, of the layers before the head of a model of `build`.

    The head of a model of this package is taken over too if its layers have the same names and shapes; other heads are
    dropped.

    Raises:
        ModelError: the weights do not exist, are damaged, or belong to another backbone.
    """
    row = find(spec.name)
    spec = row.complete(spec)
    if spec.weights == "imagenet":
        if row.application is None:
            raise ModelError(_no_imagenet(spec.name))
        set_from_stock(model, row.application, load_imagenet(row.application, spec, _rgb(model)), spec.name)
        return
    path = weight_file_reader.locate(spec.weights)
    if weight_file_reader.is_model(path):
        stored = weight_file_reader.load_model(path)
        if row.application is None or _stages(stored):
            _set_by_name(model, stored, spec)
            return
    elif row.application is None:
        raise ModelError(
            f"model.weights = {spec.weights!r} is a file of weights alone, which {spec.name} cannot take: it does not "
            "name their layers; give the folder of a run, or its model.keras"
        )
    stock = row.application.stock(spec, _rgb(model))
    found = model_arrays(stored) if weight_file_reader.is_model(path) else weight_file_reader.read_arrays(path, stock)
    _fill(stock, found, spec)
    set_from_stock(model, row.application, stock, spec.name)


def _no_imagenet(name: str) -> str:
    twin = keras_twin(name)
    other = f" model.name = {twin!r} has them: Keras' own variant of this network." if twin else ""
    return (
        f"{name} has no ImageNet weights.{other} Choose a backbone of `cnnrecipes models` that has, or set "
        "model.weights to a run of your own"
    )


def _rgb(model: keras.Model) -> tuple[int, int, int]:
    height, width = model.input_shape[1:3]
    return height, width, 3


def _stages(model: keras.Model) -> bool:
    """Return True for a model of this package, whose layers are named by stage."""
    return isinstance(model, keras.Model) and any(layer.name.startswith("stage1_") for layer in model.layers)


def _fill(stock: keras.Model, found: Sequence[LayerArrays], spec: schema.Model) -> None:
    """Set the weights of Keras' backbone; the arrays of a head behind them are dropped."""
    layers = [layer for layer in stock.layers if layer.weights]
    for place, layer in enumerate(layers):
        here = [tuple(weight.shape) for weight in ordered_weights(layer)]
        there = [array.shape for array in found[place].arrays] if place < len(found) else []
        if here != there:
            what = f"{layer.name} has the shapes {here} in {_called(spec)}, and {there or 'no weights'} in the file"
            raise ModelError(_other(spec, found, what))
        if bad := [array for array in found[place].arrays if not np.isfinite(array).all()]:
            raise ModelError(
                f"model.weights = {spec.weights!r} has values that are not finite in {layer.name} ({bad[0].shape}): "
                "the file is damaged; copy or download it again"
            )
    head = [array for one in found[len(layers) :] for array in one.arrays]
    if len(head) > _ARRAYS_OF_A_HEAD:
        raise ModelError(_other(spec, found, f"{len(head)} arrays of the file follow after its last layer"))
    for layer, one in zip(layers, found, strict=False):
        for weight, array in zip(ordered_weights(layer), one.arrays, strict=True):
            weight.assign(array)


def _other(spec: schema.Model, found: Sequence[LayerArrays], what: str) -> str:
    """Return the message for weights of another backbone, with its name if it is known."""
    total = sum(math.prod(array.shape) for one in found for array in one.arrays)
    owners = whose_weights(spec, found)
    whose = f"These are weights of {' or '.join(owners)}: set that" if owners else "Give weights of this backbone"
    return (
        f"model.weights = {spec.weights!r} ({total:,} parameters) does not fit {_called(spec)}: {what}. {whose}, or "
        'model.weights = "imagenet"'
    )


def _called(spec: schema.Model) -> str:
    return spec.name if spec.alpha is None else f"{spec.name} with alpha {spec.alpha}"


def set_from_stock(model: keras.Model, application: Application, stock: keras.Model, name: str) -> None:
    """Copy the weights of Keras' backbone to the layers of a model of `build`; filters of RGB are summed for gray."""
    for layer in stock.layers:
        if application.left_out and type(layer) is keras.layers.Normalization:
            _check_normalization(layer, name)
    for layer, called in application.pairs(stock):
        ours = model.get_layer(called)
        arrays = [weight.numpy() for weight in layer.weights]
        if len(arrays[0].shape) == 4 and (ours.weights[0].shape[2], arrays[0].shape[2]) == (1, 3):
            arrays[0] = arrays[0].sum(axis=2, keepdims=True)
        ours.set_weights(arrays)


def _check_normalization(layer: keras.layers.Layer, name: str) -> None:
    """Raise ModelError if a file of EfficientNet normalizes images by other values than ImageNet's."""
    mean, variance = (np.ravel(weight.numpy()) for weight in layer.weights[:2])
    if not (np.allclose(mean, TORCH_MEAN, atol=1e-3) and np.allclose(variance, TORCH_STD, atol=1e-3)):
        raise ModelError(
            f"the weights normalize images by mean {mean.round(3).tolist()} and variance {variance.round(3).tolist()}, "
            f"but {name} always by those of Keras' ImageNet weights, {list(TORCH_MEAN)} and {list(TORCH_STD)}; give "
            "weights that were fine-tuned from Keras' ImageNet weights"
        )


def _set_by_name(model: keras.Model, stored: keras.Model, spec: schema.Model) -> None:
    """Copy the weights of a model of this package by layer name; of the head only if all its shapes are equal."""
    there = {layer.name: [weight.numpy() for weight in layer.weights] for layer in stored.layers}
    backbone = [layer for layer in Backbone.of(model).model.layers if layer.weights]
    names = {layer.name for layer in backbone}
    for layer in backbone:
        here = [tuple(weight.shape) for weight in layer.weights]
        shapes = [array.shape for array in there.get(layer.name, ())]
        if here != shapes:
            if message := _color_mismatch(here, shapes, spec):
                raise ModelError(message)
            raise ModelError(
                f"model.weights = {spec.weights!r} is a {stored.name} whose layer {layer.name} has the shapes "
                f"{shapes or 'of no weights'}, and {_called(spec)} here {here}; set model.name and its options as there"
            )
    head = [layer for layer in model.layers if layer.weights and layer.name not in names]
    same = all(
        [tuple(w.shape) for w in layer.weights] == [a.shape for a in there.get(layer.name, ())] for layer in head
    )
    for layer in [*backbone, *(head if same else [])]:
        layer.set_weights(there[layer.name])


def _color_mismatch(
    here: Sequence[tuple[int, ...]], there: Sequence[tuple[int, ...]], spec: schema.Model
) -> str | None:
    """Return the message for a first convolution whose shapes differ only in gray against RGB, else None."""
    one, other = ([shape for array in shapes for shape in array] for shapes in (here, there))
    differing = [(place, *pair) for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]]
    if len(one) != len(other) or differing not in ([(2, 1, 3)], [(2, 3, 1)]):
        return None
    ((_, ours, theirs),) = differing
    names = {1: "gray", 3: "RGB"}
    return (
        f"model.weights = {spec.weights!r} was trained on {names[theirs]} images, and the images here are "
        f"{names[ours]}; set data.channels = {theirs}, or give weights of a training on {names[ours]} images"
    )

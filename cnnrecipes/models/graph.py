"""Keras graph of a model as a flat list of layer calls, including those of nested models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras

from cnnrecipes.errors import ModelError

# (None, H, W, C): the batch and unknown dimensions are None; `grouping.require_sizes` excludes the latter.
Shape = tuple[Any, ...]


class Call(NamedTuple):
    """One call of one layer."""

    name: str  # name of the layer; "outer/inner" inside a nested model
    layer: keras.layers.Layer
    sources: tuple[int, ...]  # indices of the calls that compute the inputs
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    node: Any  # Keras' record of the call

    @property
    def stage(self) -> str:
        """The part of the name before the first underscore: "stage2" of "stage2_block1_conv1"."""
        return self.name.rpartition("/")[2].partition("_")[0]


def calls(model: keras.Model) -> list[Call]:
    """Return the layer calls of a functional or sequential model in topological order.

    Raises:
        ModelError: a subclassed model, which has no graph, or a model that is not built.
    """
    if not isinstance(model, keras.Model):
        raise ModelError(f"expected a keras.Model, got {type(model).__name__}; give a functional or sequential model")
    found: list[Call] = []
    _collect(model, "", {}, found)
    return found


def run(found: Sequence[Call], images: Any, *, training: bool = False) -> Iterator[tuple[Call, Any]]:
    """Run the `calls` of a model eagerly on a batch (N, H, W, C); yield each call with its output.

    The caller may record them with a gradient tape. Layers with several outputs are not supported.
    """
    made: list[Any] = []
    for call in found:
        if not call.sources:
            value = images
        else:
            symbols = call.node.input_tensors
            given = {id(symbol): made[place] for symbol, place in zip(symbols, call.sources, strict=True)}
            args, kwargs = call.node.arguments.fill_in(given)
            if getattr(call.layer, "_call_has_training_arg", False):
                kwargs["training"] = training
            value = call.layer(*args, **kwargs)
        made.append(value)
        yield call, value


def parameters(layer: Any) -> list[keras.Variable]:
    """Return the trainable weights of a layer, frozen or not, without moving statistics and seeds."""
    if not isinstance(layer, keras.layers.Layer):
        return []
    return [weight for part in layer._flatten_layers() for weight in part._trainable_variables]


def all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of a model, with those of nested models and those inside of other layers; no models."""
    return [layer for layer in model._flatten_layers(include_self=False) if not isinstance(layer, keras.Model)]


def _collect(model: keras.Model, prefix: str, places: dict[int, int], found: list[Call]) -> None:
    """Append the calls of `model`; `places` maps ids of tensors to the index of the call that computes them."""
    graph = model._functional if isinstance(model, keras.Sequential) else model
    if not isinstance(graph, keras.Model) or not hasattr(graph, "_nodes_by_depth"):
        raise ModelError(f"{model.name} has no graph of layers; give a functional or a built sequential model")
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            layer, inputs, outputs = node.operation, node.input_tensors, node.output_tensors
            if all(id(tensor) in places for tensor in outputs):  # the input of a nested model
                continue
            name = prefix + layer.name
            if isinstance(layer, keras.Model):
                inner = layer._functional if isinstance(layer, keras.Sequential) else layer
                if hasattr(inner, "inputs"):
                    places |= {id(own): places[id(given)] for own, given in zip(inner.inputs, inputs, strict=True)}
                _collect(layer, f"{name}/", places, found)
                places |= {id(own): places[id(made)] for own, made in zip(outputs, inner.outputs, strict=True)}
                continue
            sources = tuple(places[id(tensor)] for tensor in inputs)
            shapes = tuple(tuple(tensor.shape) for tensor in inputs)
            for tensor in outputs:
                places[id(tensor)] = len(found)
            found.append(Call(name, layer, sources, shapes, tuple(outputs[0].shape), node))

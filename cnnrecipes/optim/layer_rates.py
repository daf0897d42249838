"""Layer-wise learning rate decay, by the depth of a layer in the model's graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.errors import TrainingError

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_module("keras")


def layer_rates(model: keras.Model, layer_decay: float | None) -> dict[str, float]:
    """Return the learning rate multiplier of each trainable variable: layer_decay^(number of weighted layers after it).

    Args:
        model: a functional or sequential model.
        layer_decay: decay per layer; None: the result is an empty dictionary.

    Returns:
        variable path -> multiplier.

    Raises:
        TrainingError: a subclassed model, which has no graph.
    """
    if layer_decay is None:
        return {}
    return {path: layer_decay**after for path, after in layers_after(model).items()}


def layers_after(model: keras.Model) -> dict[str, int]:
    """Return, for each variable path, the number of weighted layers after it on the longest path to the output.

    A weighted layer has a variable of rank 2 or more. A norm has the number of the convolution before it, a projection
    shortcut that of the branch that it is added to, and a shared layer that of its first call.

    Raises:
        TrainingError: a subclassed model, which has no graph.
    """
    found: dict[str, int] = {}
    _walk(model, {}, found)
    return found


def _walk(model: keras.Model, after: dict[int, int], found: dict[str, int]) -> None:
    """Traverse the graph from output to input, and enter the result of `layers_after` into `found`.

    Args:
        model: a model, or a model nested in it.
        after: tensor id -> number of weighted layers on the longest path from the tensor to the output; extended here.
        found: variable path -> number of weighted layers after it; extended here.
    """
    graph = model._functional if isinstance(model, keras.Sequential) else model
    if not hasattr(graph, "_nodes_by_depth"):
        raise TrainingError(
            f"optimizer.layer_decay needs the graph of the model, and {model.name} ({type(model).__name__}) has none; "
            "build it as a functional model, or leave optimizer.layer_decay out"
        )
    for depth in sorted(graph._nodes_by_depth):
        for node in graph._nodes_by_depth[depth]:
            layer, outputs = node.operation, node.output_tensors
            if isinstance(layer, keras.Model):
                inner = layer._functional if isinstance(layer, keras.Sequential) else layer
                _lend(after, outputs, inner.outputs)
                _walk(layer, after, found)
                _lend(after, inner.inputs, node.input_tensors)
                continue
            following = max(after.get(id(tensor), 0) for tensor in outputs)
            for variable in getattr(layer, "trainable_variables", ()):
                found[variable.path] = max(following, found.get(variable.path, 0))
            # A frozen layer counts as well: its neighbors' rates do not depend on it.
            here = following + any(len(variable.shape) > 1 for variable in getattr(layer, "weights", ()))
            for tensor in node.input_tensors:
                after[id(tensor)] = max(here, after.get(id(tensor), 0))


def _lend(after: dict[int, int], known, same) -> None:
    """Copy the numbers of the tensors `known` to the tensors `same`, which are equal tensors of another model."""
    for one, other in zip(known, same, strict=True):
        after[id(other)] = max(after.get(id(one), 0), after.get(id(other), 0))

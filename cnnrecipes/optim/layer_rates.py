"""Layer-wise learning rates by the depth of a layer in the graph of the model."""

from __future__ import annotations

import keras

from cnnrecipes.errors import TrainingError


def layer_rates(model: keras.Model, layer_decay: float | None) -> dict[str, float]:
    """Variable path to layer_decay^(layers of weights after it), for the trainable variables.

    Raises:
        TrainingError: a subclassed model, which has no graph to read.
    """
    if layer_decay is None:
        return {}
    return {path: layer_decay**after for path, after in layers_after(model).items()}


def layers_after(model: keras.Model) -> dict[str, int]:
    """Variable path to how many layers of weights follow on the longest way to the output.

    A layer of weights has a variable of two dimensions or more. A norm has as many after it as the convolution that it
    follows, and a shortcut as many as the branch that it is added to; a shared layer counts where it is called first.
    """
    found: dict[str, int] = {}
    _walk(model, {}, found)
    return found


def _walk(model: keras.Model, after: dict[int, int], found: dict[str, int]) -> None:
    """From the output to the input; `after` has the number for each tensor, by its id."""
    graph = model._functional if isinstance(model, keras.Sequential) else model
    if not hasattr(graph, "_nodes_by_depth"):
        raise TrainingError(
            f"train.layer_decay needs the graph of the model, and {model.name} ({type(model).__name__}) has none; "
            "build it as a functional model, or leave train.layer_decay out"
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
            # A frozen layer counts as well: its neighbours' rates do not depend on it.
            here = following + any(len(variable.shape) > 1 for variable in getattr(layer, "weights", ()))
            for tensor in node.input_tensors:
                after[id(tensor)] = max(here, after.get(id(tensor), 0))


def _lend(after: dict[int, int], known, same) -> None:
    """Tensors that stand for others have their number."""
    for one, other in zip(known, same, strict=True):
        after[id(other)] = max(after.get(id(one), 0), after.get(id(other), 0))

"""Replay of a functional model on another tensor: each operation is replaced by a new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

# (operation or layer of a nested model, the operation of the model itself) -> its replacement; None: left out
Replace = Callable[[keras.Operation, keras.Operation], Callable[..., Any] | None]


def replay(model: keras.Model, x, replace: Replace):
    """Return the output of a functional model of one input and output for the tensor `x`, by new operations.

    The layers of nested sequential models are called one by one. `keras.models.clone_model` wants the input of the
    copy to be an `Input`, and leaves nested models nested.
    """
    values = {id(model.inputs[0]): x}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input:
                continue
            operation = node.operation
            args, kwargs = node.arguments.fill_in(values)
            if isinstance(operation, keras.Sequential):
                value = args[0]
                for layer in operation.layers:
                    new = replace(layer, operation)
                    value = new(value) if new else value
            else:
                new = replace(operation, operation)
                value = new(*args, **kwargs) if new else args[0]
            values[id(node.outputs[0])] = value
    return values[id(model.outputs[0])]

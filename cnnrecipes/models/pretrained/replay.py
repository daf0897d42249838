"""Replay of a functional model on another tensor: each operation is replaced by a new one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras.src.backend.common import global_state

# (operation or layer of a nested model, the operation of the model itself) -> its replacement; None: left out
Replace = Callable[[keras.Operation, keras.Operation], Callable[..., Any] | None]

_WAITING = "uninitialized_variables"  # Keras' global list of variables without values


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Let variables have a shape alone in the `with` block, so that a large model takes no memory."""
    before = list(global_state.get_global_attribute(_WAITING) or [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(_WAITING, before)


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

"""TensorFlow graphs of functions, one for each signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cnnrecipes._support.lazy import lazy_module

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")


class Graphs:
    """A function of tensors that is traced once for each signature of its arguments.

    TensorFlow warns of retracing when functions of the same lines of code are traced five times, as those of new models
    are; concrete functions are not counted.

    Args:
        function: takes tensors.
    """

    def __init__(self, function: Callable[..., Any]):
        self._function = tf.function(function, autograph=False)
        self._graphs: dict[tuple[tf.TensorSpec, ...], Callable[..., Any]] = {}

    def __call__(self, *tensors: tf.Tensor) -> Any:
        signature = tuple(tf.TensorSpec.from_tensor(tensor) for tensor in tensors)
        if signature not in self._graphs:
            self._graphs[signature] = self._function.get_concrete_function(*signature)
        return self._graphs[signature](*tensors)

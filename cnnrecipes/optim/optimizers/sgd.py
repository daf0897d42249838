"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.optim.optimizer_registry import Optimizer, optimizer

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:
    keras = lazy_module("keras")
    tf = lazy_module("tensorflow")


@optimizer("sgd")
class SGD(Optimizer):
    """Stochastic gradient descent with `optimizer.momentum`, in Nesterov's form (Sutskever et al. 2013).

    The update is that of Keras' SGD; with momentum, one fused kernel replaces six passes over the weights.
    """

    nesterov: bool = True

    default_decay = "coupled"

    def create_slots(self, optimizer, variables):
        if not optimizer.momentum:
            return [()] * len(variables)
        return [(momentum,) for momentum in optimizer.add_optimizer_variables(variables, "momentum")]

    def step(self, optimizer, gradient, variable, learning_rate, momentum=None):
        if momentum is None:
            optimizer.assign_sub(variable, keras.ops.multiply(gradient, learning_rate))
        elif tf.distribute.has_strategy() or not isinstance(gradient, tf.Tensor):
            self._step_in_operations(optimizer, gradient, variable, learning_rate, momentum)
        else:
            # Needs plain variables of one replica and a dense gradient.
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=_handle(variable),
                accum=_handle(momentum),
                lr=learning_rate,
                grad=gradient,
                momentum=tf.constant(optimizer.momentum, variable.dtype),
                use_nesterov=self.nesterov,
            )

    def _step_in_operations(self, optimizer, gradient, variable, learning_rate, momentum) -> None:
        share = keras.ops.cast(optimizer.momentum, variable.dtype)

        def following():
            return keras.ops.subtract(keras.ops.multiply(momentum, share), keras.ops.multiply(gradient, learning_rate))

        optimizer.assign(momentum, following())
        optimizer.assign_add(variable, following() if self.nesterov else momentum)


def _handle(variable):
    """Return the TensorFlow resource handle of a Keras or a TensorFlow variable; optimizers receive both."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle

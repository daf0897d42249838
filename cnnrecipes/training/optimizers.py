"""Optimizers, by the names of a recipe; weight decay leaves norms and biases alone."""

from __future__ import annotations

import keras
import tensorflow as tf

from cnnrecipes import recipe


def optimizer(spec: recipe.Train, model: keras.Model, learning_rate) -> keras.optimizers.Optimizer:
    """The recipe's optimizer for this model. Weight decay applies to variables of two dimensions and more."""
    if spec.optimizer == "adamw":
        made = keras.optimizers.AdamW(learning_rate, weight_decay=spec.weight_decay)
    else:
        made = SGD(learning_rate, momentum=spec.momentum, nesterov=spec.momentum > 0, coupled_decay=spec.weight_decay)
    made.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if len(v.shape) < 2])
    return made


@keras.saving.register_keras_serializable(package="cnnrecipes")
class SGD(keras.optimizers.SGD):
    """Keras' SGD with coupled weight decay, as the papers' recipes and PyTorch mean it: gradient + decay * weight.

    With momentum the update is one kernel instead of six passes over the weights.

    Keras' own `weight_decay` shrinks weights beside the momentum; at momentum 0.9 the same number is ten times weaker.
    """

    def __init__(self, learning_rate=0.01, *, coupled_decay: float = 0.0, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.coupled_decay = coupled_decay

    def update_step(self, gradient, variable, learning_rate):
        if self.coupled_decay and self._use_weight_decay(variable):
            gradient = keras.ops.add(gradient, keras.ops.multiply(variable, self.coupled_decay))
        if not self._kernel_applies(gradient):
            return super().update_step(gradient, variable, learning_rate)
        dtype = variable.dtype
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=_handle(variable),
            accum=_handle(self.momentums[self._get_variable_index(variable)]),
            lr=tf.cast(learning_rate, dtype),
            grad=tf.cast(gradient, dtype),
            momentum=tf.constant(self.momentum, dtype),
            use_nesterov=self.nesterov,
        )

    def _all_reduce_sum_gradients(self, grads_and_vars):
        # The training step has added them up already, before they are clipped.
        return grads_and_vars

    def _kernel_applies(self, gradient) -> bool:
        """TensorFlow has Keras' formula as one kernel; for one replica's plain variables and a dense gradient."""
        return self.momentum > 0 and not tf.distribute.has_strategy() and isinstance(gradient, tf.Tensor)

    def get_config(self):
        return {**super().get_config(), "coupled_decay": self.coupled_decay}


def _handle(variable):
    """TensorFlow's resource behind a variable of Keras or of TensorFlow; optimizers meet both."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle

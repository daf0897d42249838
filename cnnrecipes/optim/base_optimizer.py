"""Optimizer mixin: coupled or decoupled weight decay and layer-wise learning rates on top of Keras' optimizers."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from cnnrecipes.errors import TrainingError


class RecipeOptimizer:
    """Mixin for a Keras optimizer class that adds weight decay and layer-wise learning rates; inherit from it first.

    Subclasses override `_step`, the update of one variable, to replace Keras' own `update_step`.

    Args:
        learning_rate: a float or a Keras schedule.
        coupled_decay: L2 coefficient; coupled_decay * weight is added to the gradient, as by `weight_decay` of
            PyTorch's SGD and Adam.
        decoupled_decay: learning_rate * decoupled_decay * weight is subtracted from the weight (Loshchilov & Hutter
            2019).
        options: keyword arguments of the Keras class.

    Raises:
        TrainingError: Keras' `weight_decay` is given, which is ambiguous between the two kinds of decay.

    Attributes:
        layer_rates: variable path -> factor of its learning rate and of its decoupled decay; 1 where absent.
    """

    def __init__(
        self, learning_rate=0.001, *, coupled_decay: float = 0.0, decoupled_decay: float = 0.0, **options: Any
    ):
        if options.get("weight_decay") is not None:
            raise TrainingError(
                f"weight_decay = {options['weight_decay']}; give coupled_decay or decoupled_decay instead"
            )
        super().__init__(learning_rate, **options)
        self.coupled_decay, self.decoupled_decay = coupled_decay, decoupled_decay
        self.layer_rates: dict[str, float] = {}

    def build(self, variables):
        if self.built:
            return
        self._rates = {self._var_key(v): self._rate_factor(v) for v in variables}
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        learning_rate = tf.cast(learning_rate, variable.dtype) * self._rates[self._var_key(variable)]
        gradient = tf.cast(gradient, variable.dtype)
        if self._use_weight_decay(variable):
            if self.coupled_decay:
                gradient = gradient + variable * self.coupled_decay
            if self.decoupled_decay:
                self._decay(variable, learning_rate)
        self._step(gradient, variable, learning_rate)

    def _rate_factor(self, variable) -> float:
        """Return the learning rate multiplier of this variable."""
        return self.layer_rates.get(variable.path, 1.0)

    def _decay(self, variable, learning_rate) -> None:
        """Apply the decoupled decay, before the step."""
        self.assign_sub(variable, variable * (learning_rate * self.decoupled_decay))

    def _step(self, gradient, variable, learning_rate) -> None:
        """Update one variable; gradient and learning rate have its dtype, decay and rate factor are applied."""
        super().update_step(gradient, variable, learning_rate)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        # The training step has already all-reduced the gradients, before they are clipped.
        return grads_and_vars

    def get_config(self):
        return {
            **super().get_config(),
            "coupled_decay": self.coupled_decay,
            "decoupled_decay": self.decoupled_decay,
        }

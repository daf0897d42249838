"""The optimizer of a recipe as a Keras optimizer: weight decay, gradient clipping, layer-wise learning rates."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from cnnrecipes.errors import TrainingError
from cnnrecipes.optim.layer_rates import layer_rates
from cnnrecipes.optim.optimizer_registry import OPTIMIZERS, Optimizer
from cnnrecipes.recipe import schema
from cnnrecipes.syntax.call_syntax import write_call


def build_optimizer(
    table: schema.Optimizer, model: keras.Model, learning_rate, rates: dict[str, float] | None = None
) -> RecipeOptimizer:
    """Return the Keras optimizer of a recipe for a model.

    Weight decay applies to variables of rank 2 or more, or to all with `decay_all`.

    Args:
        table: the `optimizer` table of the recipe.
        model: the model to train.
        learning_rate: a float or a Keras schedule.
        rates: learning rate multiplier of variables by their path; None: those of `layer_decay`.

    Raises:
        TrainingError: both clip_norm and clip_value are given; layer_decay for a model without a graph.
    """
    if table.clip_norm and table.clip_value:
        raise TrainingError(
            f"optimizer.clip_norm = {table.clip_norm} and optimizer.clip_value = {table.clip_value}; "
            "leave one of them out"
        )
    rule = OPTIMIZERS.parse(table.name)
    made = RecipeOptimizer(
        rule,
        learning_rate,
        momentum=table.momentum,
        global_clipnorm=table.clip_norm,
        clipvalue=table.clip_value,
        **{f"{table.decay or rule.default_decay}_decay": table.weight_decay},
    )
    made.layer_rates = layer_rates(model, table.layer_decay) if rates is None else rates
    if not table.decay_all:
        made.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if len(v.shape) < 2])
    return made


@keras.saving.register_keras_serializable(package="cnnrecipes")
class RecipeOptimizer(keras.optimizers.Optimizer):
    """Keras optimizer around a class of the registry, which updates one variable at a time.

    Keras' own `weight_decay` is decoupled from the momentum of SGD; at momentum 0.9 the same value is ten times weaker
    than the coupled decay of PyTorch and of the papers' recipes.

    Args:
        rule: the registered optimizer, or its call, for example "adamw(beta_2=0.99)".
        learning_rate: a float or a Keras schedule.
        momentum: `optimizer.momentum` of the recipe, for rules that use it (sgd).
        coupled_decay: L2 coefficient; coupled_decay * weight is added to the gradient, as by `weight_decay` of
            PyTorch's SGD and Adam.
        decoupled_decay: learning_rate * decoupled_decay * weight is subtracted from the weight (Loshchilov & Hutter
            2019).
        options: further keyword arguments of `keras.optimizers.Optimizer`.

    Raises:
        TrainingError: Keras' `weight_decay` is given, which is ambiguous between the two kinds of decay.

    Attributes:
        layer_rates: variable path -> factor of its learning rate and of its decoupled decay; 1 where absent.
    """

    def __init__(
        self,
        rule: Optimizer | str,
        learning_rate=0.001,
        *,
        momentum: float = 0.0,
        coupled_decay: float = 0.0,
        decoupled_decay: float = 0.0,
        **options: Any,
    ):
        if options.get("weight_decay") is not None:
            raise TrainingError(
                f"RecipeOptimizer got weight_decay={options['weight_decay']}, which does not say the kind; give "
                "coupled_decay= or decoupled_decay= instead"
            )
        super().__init__(learning_rate, **options)
        self.rule = OPTIMIZERS.parse(rule) if isinstance(rule, str) else rule
        self.momentum, self.coupled_decay, self.decoupled_decay = momentum, coupled_decay, decoupled_decay
        self.layer_rates: dict[str, float] = {}

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._slots = self.rule.create_slots(self, variables)
        self._rates = [
            self.layer_rates.get(variable.path, 1.0) * self.rule.rate_factor(*slots)
            for variable, slots in zip(variables, self._slots, strict=True)
        ]

    def slots(self, variable) -> tuple[keras.Variable, ...]:
        """Return the state variables of a trainable variable."""
        return tuple(self._slots[self._get_variable_index(variable)])

    def decays(self, variable) -> bool:
        """Return True if weight decay applies to this variable."""
        return self._use_weight_decay(variable)

    def update_step(self, gradient, variable, learning_rate):
        rate = self._rates[self._get_variable_index(variable)]
        learning_rate = tf.cast(learning_rate, variable.dtype) * rate
        gradient = tf.cast(gradient, variable.dtype)
        if self.decays(variable):
            if self.coupled_decay:
                gradient = gradient + variable * self.coupled_decay
            if self.decoupled_decay and not self.rule.decays_in_step:
                self.assign_sub(variable, variable * (learning_rate * self.decoupled_decay))
        self.rule.step(self, gradient, variable, learning_rate, *self.slots(variable))

    def _all_reduce_sum_gradients(self, grads_and_vars):
        # The training step has already all-reduced the gradients, before they are clipped.
        return grads_and_vars

    def get_config(self):
        return {
            **super().get_config(),
            "rule": write_call(self.rule, OPTIMIZERS),
            "momentum": self.momentum,
            "coupled_decay": self.coupled_decay,
            "decoupled_decay": self.decoupled_decay,
        }

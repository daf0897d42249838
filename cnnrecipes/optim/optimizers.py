"""Construction of a recipe's optimizer: class, weight decay, gradient clipping and layer-wise learning rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from cnnrecipes.optim import methods

if TYPE_CHECKING:
    from cnnrecipes.recipe import schema
from cnnrecipes.errors import TrainingError
from cnnrecipes.optim.adam import LAMB, AdamW, ScheduleFreeAdamW
from cnnrecipes.optim.base_optimizer import RecipeOptimizer
from cnnrecipes.optim.layer_rates import layer_rates
from cnnrecipes.optim.muon import Muon


def optimizer(spec: schema.Optimizer, model: keras.Model, learning_rate) -> keras.optimizers.Optimizer:
    """Return the optimizer of a recipe for this model.

    Weight decay applies to variables of rank 2 or more, or to all with `decay_all`.

    Args:
        spec: the `optimizer` table of the recipe.
        model: the model to train.
        learning_rate: a float or a Keras schedule.

    Raises:
        TrainingError: both clip_norm and clip_value are given; layer_decay for a model without a graph.
    """
    if spec.clip_norm and spec.clip_value:
        raise TrainingError(
            f"optimizer.clip_norm = {spec.clip_norm} and optimizer.clip_value = {spec.clip_value}; "
            "leave one of them out"
        )
    method = methods.optimizer(spec.name)
    options = {**method.model_dump(), "global_clipnorm": spec.clip_norm, "clipvalue": spec.clip_value}
    decay = spec.decay or ("coupled" if isinstance(method, methods.SGD) else "decoupled")
    options[f"{decay}_decay"] = spec.weight_decay
    if isinstance(method, methods.SGD):
        options |= {"momentum": spec.momentum, "nesterov": method.nesterov and spec.momentum > 0}
    made = CLASSES[type(method)](learning_rate, **options)
    made.layer_rates = layer_rates(model, spec.layer_decay)
    if isinstance(method, methods.Muon):
        made.auxiliary = _first_and_last(model)
    if not spec.decay_all:
        made.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if len(v.shape) < 2])
    return made


@keras.saving.register_keras_serializable(package="cnnrecipes")
class SGD(RecipeOptimizer, keras.optimizers.SGD):
    """Keras' SGD; with momentum the update is one fused kernel instead of six passes over the weights.

    Keras' own `weight_decay` is decoupled from the momentum; at momentum 0.9 the same value is ten times weaker than
    the coupled decay of PyTorch and of the papers' recipes.
    """

    def _step(self, gradient, variable, learning_rate):
        if not self._kernel_applies(gradient):
            super()._step(gradient, variable, learning_rate)
            return
        dtype = variable.dtype
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=_handle(variable),
            accum=_handle(self.momentums[self._get_variable_index(variable)]),
            lr=tf.cast(learning_rate, dtype),
            grad=tf.cast(gradient, dtype),
            momentum=tf.constant(self.momentum, dtype),
            use_nesterov=self.nesterov,
        )

    def _kernel_applies(self, gradient) -> bool:
        """Return whether TensorFlow's fused kernel applies: plain variables of one replica, and a dense gradient."""
        return self.momentum > 0 and not tf.distribute.has_strategy() and isinstance(gradient, tf.Tensor)


@keras.saving.register_keras_serializable(package="cnnrecipes")
class Lion(RecipeOptimizer, keras.optimizers.Lion):
    """Keras' Lion (Chen et al. 2023, algorithm 2) with the decay and rates of `RecipeOptimizer`."""


def _handle(variable):
    """Return the TensorFlow resource handle of a Keras or a TensorFlow variable; optimizers receive both."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


CLASSES = {
    methods.SGD: SGD,
    methods.AdamW: AdamW,
    methods.LAMB: LAMB,
    methods.Lion: Lion,
    methods.Muon: Muon,
    methods.ScheduleFreeAdamW: ScheduleFreeAdamW,
}


def _first_and_last(model: keras.Model) -> set[str]:
    """Return the paths of the first and of the last weight matrix."""
    weights = [v.path for v in model.trainable_variables if len(v.shape) > 1]
    return {weights[0], weights[-1]}

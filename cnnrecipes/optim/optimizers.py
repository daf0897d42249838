"""The optimizer of a recipe: its class, weight decay, clipping and layer-wise learning rates."""

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


def optimizer(spec: schema.Train, model: keras.Model, learning_rate) -> keras.optimizers.Optimizer:
    """The recipe's optimizer for this model.

    Weight decay applies to variables of two dimensions and more, unless `decay_all`.

    Raises:
        TrainingError: two ways to clip at once; a layer decay of a model without a graph.
    """
    if spec.clip_norm and spec.clip_value:
        raise TrainingError(
            f"train.clip_norm = {spec.clip_norm} and train.clip_value = {spec.clip_value}; leave one of them out"
        )
    method = methods.optimizer(spec.optimizer)
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
    """Keras' SGD. With momentum the update is one kernel instead of six passes over the weights.

    Keras' own `weight_decay` shrinks weights beside the momentum; at momentum 0.9 the same number is ten times weaker
    than the coupled decay of the papers' recipes and of PyTorch.
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
        """TensorFlow has Keras' formula as one kernel; for one replica's plain variables and a dense gradient."""
        return self.momentum > 0 and not tf.distribute.has_strategy() and isinstance(gradient, tf.Tensor)


@keras.saving.register_keras_serializable(package="cnnrecipes")
class Lion(RecipeOptimizer, keras.optimizers.Lion):
    """Keras' Lion, which is algorithm 2 of Chen et al. 2023."""


def _handle(variable):
    """TensorFlow's resource behind a variable of Keras or of TensorFlow; optimizers meet both."""
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
    """Paths of the first layer's weights, and of the last one's."""
    weights = [v.path for v in model.trainable_variables if len(v.shape) > 1]
    return {weights[0], weights[-1]}

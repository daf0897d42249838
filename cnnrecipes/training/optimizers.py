"""Optimizers, by the names of a recipe: Keras' own, with weight decay and layers' rates as a recipe means them."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from cnnrecipes import methods, recipe
from cnnrecipes.errors import TrainingError

# What Keras calls each, and since when it has it.
KERAS_NAMES = {
    methods.AdamW: ("Adam", "3.0"),  # the decay is ours
    methods.LAMB: ("Lamb", "3.7"),
    methods.Lion: ("Lion", "3.0"),
    methods.Muon: ("Muon", "3.11"),
    methods.ScheduleFreeAdamW: ("ScheduleFreeAdamW", "3.14"),
}


def optimizer(spec: recipe.Train, model: keras.Model, learning_rate) -> keras.optimizers.Optimizer:
    """The recipe's optimizer for this model.

    Weight decay applies to variables of two dimensions and more, unless `decay_all`.

    Raises:
        TrainingError: an optimizer that the installed Keras does not have; two ways to clip at once.
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
    made = _class_of(method)(learning_rate, **options)
    made.layer_rates = _layer_rates(model, spec.layer_decay)
    if isinstance(method, methods.Muon):
        made.auxiliary = _first_and_last(model)
    if not spec.decay_all:
        made.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if len(v.shape) < 2])
    return made


class RecipeOptimizer:
    """What a recipe's optimizers have that Keras' do not; stands before a class of Keras.

    coupled_decay: added to the gradient, times the weight, as PyTorch's `weight_decay` of SGD and Adam.
    decoupled_decay: taken off the weight, times it and the learning rate (Loshchilov & Hutter 2017).
    layer_rates: a factor on the learning rate of some variables, by their path.
    """

    def __init__(
        self, learning_rate=0.001, *, coupled_decay: float = 0.0, decoupled_decay: float = 0.0, **options: Any
    ):
        super().__init__(learning_rate, **{**options, "weight_decay": None})
        self.coupled_decay, self.decoupled_decay = coupled_decay, decoupled_decay
        self.layer_rates: dict[str, float] = {}

    def build(self, variables):
        self._rates = {self._var_key(v): self.layer_rates[v.path] for v in variables if v.path in self.layer_rates}
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        if rate := self._rates.get(self._var_key(variable)):
            learning_rate = learning_rate * rate
        if self._use_weight_decay(variable):
            if self.coupled_decay:
                gradient = gradient + variable * self.coupled_decay
            if self.decoupled_decay:
                self._decay(variable, learning_rate)
        self._step(gradient, variable, learning_rate)

    def _decay(self, variable, learning_rate) -> None:
        self.assign_sub(variable, variable * (tf.cast(learning_rate, variable.dtype) * self.decoupled_decay))

    def _step(self, gradient, variable, learning_rate) -> None:
        super().update_step(gradient, variable, learning_rate)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        # The training step has added them up over the devices already, before they are clipped.
        return grads_and_vars

    def get_config(self):
        return {
            **super().get_config(),
            "coupled_decay": self.coupled_decay,
            "decoupled_decay": self.decoupled_decay,
        }


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


def _handle(variable):
    """TensorFlow's resource behind a variable of Keras or of TensorFlow; optimizers meet both."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


def _class_of(method: methods.Optimizer) -> type:
    """The class of an optimizer. Raises TrainingError where the installed Keras lacks it."""
    if isinstance(method, methods.SGD):
        return SGD
    name, since = KERAS_NAMES[type(method)]
    base = getattr(keras.optimizers, name, None)
    if base is None:
        raise TrainingError(
            f"Keras {keras.__version__} has no {name}, which came with Keras {since}; `pip install --upgrade keras`, "
            "or choose another train.optimizer"
        )
    if isinstance(method, methods.Muon):
        from cnnrecipes.training.muon import muon_class

        return muon_class()
    if isinstance(method, methods.ScheduleFreeAdamW):
        return type(name, (_ScheduleFree, RecipeOptimizer, base), {})
    return type(name, (RecipeOptimizer, base), {})


class _ScheduleFree:
    """The step of the reference: facebookresearch/schedule_free, adamw_schedulefree_reference.py, averaged evenly.

    Keras 3.15 on TensorFlow takes x out of y with a z that has already moved, and decays y beside the step.
    """

    def _decay(self, variable, learning_rate) -> None:
        pass

    def _step(self, gradient, variable, learning_rate):
        dtype, index = variable.dtype, self._get_variable_index(variable)
        z, square = self._momentums[index], self._velocities[index]
        rate, step = tf.cast(learning_rate, dtype), tf.cast(self.iterations + 1, dtype)
        y_before, z_before = tf.identity(variable), tf.identity(z)
        x_before = (y_before - (1 - self.beta_1) * z_before) / self.beta_1
        self.assign(square, self.beta_2 * square + (1 - self.beta_2) * tf.square(gradient))
        direction = gradient / (tf.sqrt(square / (1 - tf.pow(self.beta_2, step))) + self.epsilon)
        if self._use_weight_decay(variable):
            direction = direction + self.decoupled_decay * y_before
        z_after = z_before - rate * direction
        x_after = x_before + (z_after - x_before) / step
        self.assign(z, z_after)
        self.assign(variable, (1 - self.beta_1) * z_after + self.beta_1 * x_after)


def _layer_rates(model: keras.Model, layer_decay: float | None) -> dict[str, float]:
    """Path of a variable to layer_decay^(layers of weights after its own); a norm goes with the weights before it."""
    if layer_decay is None:
        return {}
    groups: list[list[str]] = [[]]
    for layer in model.layers:
        variables = layer.trainable_variables
        if any(len(v.shape) > 1 for v in variables) and groups[-1]:
            groups.append([])
        groups[-1] += [v.path for v in variables]
    last = len(groups) - 1
    return {path: layer_decay ** (last - depth) for depth, paths in enumerate(groups) for path in paths}


def _first_and_last(model: keras.Model) -> set[str]:
    """Paths of the first layer's weights, and of the last one's."""
    weights = [v.path for v in model.trainable_variables if len(v.shape) > 1]
    return {weights[0], weights[-1]}

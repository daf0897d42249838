"""Weight averages: EMA weights, Lookahead, and the average of optimizers that compute one themselves.

Their variables are saved in checkpoints. `update` is called in the training step after the optimizer's; `swap` before
and after an evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cnnrecipes._support.lazy import lazy_module

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    from pydantic import BaseModel

    from cnnrecipes.optim.optimizer_registry import KerasOptimizer
else:
    keras = lazy_module("keras")
    tf = lazy_module("tensorflow")


class WeightAverage:
    """Base class of weight averages.

    Attributes:
        weights: variables of the model that are averaged.
        variables: state of the average, saved in checkpoints.
    """

    weights: list[keras.Variable]
    variables: list[keras.Variable]

    def update(self, step: tf.Tensor) -> None:
        """Update the average after optimizer step `step`, an integer scalar counted from 0."""
        raise NotImplementedError(f"{type(self).__name__} must define update()")

    def swap(self) -> None:
        """Swap the model's weights and the evaluation weights; no effect for an average without evaluation weights."""


class Lookahead(WeightAverage):
    """Lookahead (Zhang et al. 2019, "Lookahead optimizer", algorithm 1).

    Every `steps` steps the slow weights move by `share` towards the weights, which are then reset to them.
    """

    def __init__(self, model: keras.Model, steps: int, share: float = 0.5):
        self.steps, self.share = steps, share
        self.weights = list(model.trainable_variables)
        self.variables = [_beside(weight, "slow") for weight in self.weights]

    def update(self, step: tf.Tensor) -> None:
        def look() -> None:
            for slow, weight in zip(self.variables, self.weights, strict=True):
                slow.value.assign_add((weight.value - slow.value) * self.share)
                weight.value.assign(slow.value)

        tf.cond(tf.equal((step + 1) % self.steps, 0), look, lambda: None)


class EMA(WeightAverage):
    """Exponential moving average (EMA) of all weights, including the moving statistics of batch norm.

    decay: decay per step, 0..1; min(decay, (1 + step) / (10 + step)) in the first steps, as
    `tf.train.ExponentialMovingAverage` with `num_updates`.
    """

    def __init__(self, model: keras.Model, decay: float):
        self.decay = decay
        self.weights = list(model.weights)
        self.variables = [_beside(weight, "average") for weight in self.weights]

    def update(self, step: tf.Tensor) -> None:
        step = tf.cast(step, tf.float32)
        rest = 1.0 - tf.minimum(self.decay, (1.0 + step) / (10.0 + step))
        for average, weight in zip(self.variables, self.weights, strict=True):
            average.value.assign_sub((average.value - weight.value) * tf.cast(rest, weight.dtype))

    def swap(self) -> None:
        """Swap the model's weights and the average, bit-exactly."""
        for average, weight in zip(self.variables, self.weights, strict=True):
            kept = tf.identity(weight.value)
            weight.assign(average.value)
            average.assign(kept)


class OptimizerAverage(WeightAverage):
    """Weight average that an optimizer computes itself, for example schedule-free AdamW, for evaluation."""

    def __init__(self, model: keras.Model, optimizer: KerasOptimizer):
        self.weights, self.optimizer = list(model.trainable_variables), optimizer
        self.variables = []
        self._kept: list[tf.Tensor] | None = None

    def update(self, step: tf.Tensor) -> None:
        """Do nothing; the optimizer updates the average."""

    def swap(self) -> None:
        """Replace the model's weights by their average; the next call restores them bit-exactly."""
        if self._kept is not None:
            for weight, kept in zip(self.weights, self._kept, strict=True):
                weight.assign(kept)
            self._kept = None
            return
        self._kept = [tf.identity(weight.value) for weight in self.weights]
        for weight in self.weights:
            weight.assign(self.optimizer.rule.averaged(weight, *self.optimizer.slots(weight)))


# By key of the recipe's `optimizer` table, whose value is the second argument; in the order of their updates.
WEIGHT_AVERAGES: dict[str, Callable[[keras.Model, Any], WeightAverage]] = {"lookahead": Lookahead, "ema": EMA}


def build_averages(table: BaseModel, model: keras.Model, optimizer: KerasOptimizer) -> list[WeightAverage]:
    """Return the weight averages of a recipe's `optimizer` table, in the order in which a step updates them."""
    if optimizer.rule.averages_weights:
        return [OptimizerAverage(model, optimizer)]
    values = {key: getattr(table, key) for key in WEIGHT_AVERAGES}
    return [WEIGHT_AVERAGES[key](model, value) for key, value in values.items() if value is not None]


def _beside(weight: keras.Variable, name: str) -> keras.Variable:
    return keras.Variable(weight.numpy(), trainable=False, dtype=weight.dtype, name=f"{weight.name}_{name}")

"""Weights beside the model's own that follow them: an average over the steps, slow weights, what an optimizer averages.

Their variables are of the checkpoint. Each has `update`, called in the training step after the optimizer's; those whose
values are measured and kept instead of the model's have `swap`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from cnnrecipes.optim import methods

if TYPE_CHECKING:
    from cnnrecipes.recipe import schema


def averages(spec: schema.Train, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> list:
    """What follows the weights in this recipe's training."""
    found: list = []
    if spec.lookahead:
        found.append(Lookahead(model, spec.lookahead))
    if spec.ema:
        found.append(WeightAverage(model, spec.ema))
    elif isinstance(methods.optimizer(spec.optimizer), methods.ScheduleFreeAdamW):
        found.append(ScheduleFreeAverage(model, optimizer))
    return found


class WeightAverage:
    """An exponential moving average of all weights, the moving statistics of batch norm too.

    decay: of a step; less in the first ones, min(decay, (1 + step) / (10 + step)), as TensorFlow's
    `tf.train.ExponentialMovingAverage` has it with `num_updates`.
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
        """Exchange the model's weights and the average, bit for bit."""
        for average, weight in zip(self.variables, self.weights, strict=True):
            kept = tf.identity(weight.value)
            weight.assign(average.value)
            average.assign(kept)


class Lookahead:
    """Slow weights that go a share of the way every so many steps, and to which the weights then go back.

    Zhang et al. 2019, "Lookahead optimizer", algorithm 1, with its share of 0.5.
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


class ScheduleFreeAverage:
    """The average x that a schedule-free optimizer means to be measured; it trains at y = (1 - beta_1) z + beta_1 x.

    Defazio et al. 2024, "The road less scheduled", eq. 8 to 10.
    """

    def __init__(self, model: keras.Model, optimizer: keras.optimizers.Optimizer):
        self.weights, self.optimizer = list(model.trainable_variables), optimizer
        self.variables: list[keras.Variable] = []
        self._kept: list[tf.Tensor] | None = None

    def update(self, step: tf.Tensor) -> None:
        """The optimizer does it."""

    def swap(self) -> None:
        """Put x in the model's weights, or y back as it was, bit for bit."""
        if self._kept is not None:
            for weight, kept in zip(self.weights, self._kept, strict=True):
                weight.assign(kept)
            self._kept = None
            return
        self._kept = [tf.identity(weight.value) for weight in self.weights]
        beta = self.optimizer.beta_1
        for weight, z in zip(self.weights, self.optimizer.z, strict=True):
            weight.assign((weight.value - (1 - beta) * z.value) / beta)


def _beside(weight: keras.Variable, name: str) -> keras.Variable:
    return keras.Variable(weight.numpy(), trainable=False, dtype=weight.dtype, name=f"{weight.name}_{name}")

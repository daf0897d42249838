"""Weight averages: EMA weights, Lookahead, and the average of schedule-free optimizers.

Their variables are saved in checkpoints. `update` is called in the training step after the optimizer's; averages that
provide the evaluation weights also have `swap`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from cnnrecipes.optim import methods

if TYPE_CHECKING:
    from cnnrecipes.recipe import schema


def averages(spec: schema.Optimizer, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> list:
    """Return the weight averages of a recipe's `optimizer` table."""
    found: list = []
    if spec.lookahead:
        found.append(Lookahead(model, spec.lookahead))
    if spec.ema:
        found.append(WeightAverage(model, spec.ema))
    elif isinstance(methods.optimizer(spec.name), methods.ScheduleFreeAdamW):
        found.append(ScheduleFreeAverage(model, optimizer))
    return found


class WeightAverage:
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


class Lookahead:
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


class ScheduleFreeAverage:
    """The evaluation weights x of a schedule-free optimizer, which trains at y = (1 - beta_1) z + beta_1 x.

    Defazio et al. 2024, "The road less scheduled", eq. 8 to 10.
    """

    def __init__(self, model: keras.Model, optimizer: keras.optimizers.Optimizer):
        self.weights, self.optimizer = list(model.trainable_variables), optimizer
        self.variables: list[keras.Variable] = []
        self._kept: list[tf.Tensor] | None = None

    def update(self, step: tf.Tensor) -> None:
        """Do nothing; the optimizer updates the average."""

    def swap(self) -> None:
        """Replace the model's weights y by x, or restore y bit-exactly."""
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

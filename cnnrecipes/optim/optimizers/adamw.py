"""AdamW, and Adam's step for the optimizers that build on it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.optim.optimizer_registry import Decay, KerasOptimizer, Optimizer, optimizer

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from cnnrecipes.optim.optimizers.muon import Muon
else:
    tf = lazy_module("tensorflow")


@optimizer("adamw")
class AdamW(Optimizer):
    """AdamW as in PyTorch (Loshchilov & Hutter 2019, "Decoupled weight decay regularization", algorithm 2).

    Epsilon is added to the square root of the bias-corrected second moment. `keras.optimizers.AdamW` adds it before
    the correction, which makes it up to 1 / sqrt(1 - beta_2) = 32 times as large in the first steps.
    """

    beta_1: Decay = 0.9
    beta_2: Decay = 0.999
    epsilon: float = Field(default=1e-8, gt=0)

    slots = ("momentum", "velocity")

    def step(self, optimizer, gradient, variable, learning_rate, momentum, velocity):
        optimizer.assign_sub(variable, learning_rate * adam_direction(self, optimizer, gradient, momentum, velocity))


def adam_direction(
    rule: AdamW | Muon,
    optimizer: KerasOptimizer,
    gradient: tf.Tensor,
    momentum: keras.Variable,
    velocity: keras.Variable,
) -> tf.Tensor:
    """Update both moments, and return Adam's step for a learning rate of 1 (Kingma & Ba 2015, algorithm 1).

    rule: has the attributes beta_1, beta_2 and epsilon.
    """
    step = tf.cast(optimizer.iterations + 1, gradient.dtype)
    optimizer.assign_add(momentum, (1 - rule.beta_1) * (gradient - momentum))
    optimizer.assign_add(velocity, (1 - rule.beta_2) * (tf.square(gradient) - velocity))
    mean = momentum / bias_correction(rule.beta_1, step)
    return mean / (tf.sqrt(velocity / bias_correction(rule.beta_2, step)) + rule.epsilon)


def bias_correction(beta: float, step: tf.Tensor) -> tf.Tensor:
    """Return 1 - beta^step without cancellation, which costs float32 four of seven digits at beta = 0.999, step = 1."""
    return -tf.math.expm1(step * (math.log(beta) if beta else -math.inf))

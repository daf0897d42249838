"""LAMB: Adam's step scaled by a trust ratio per layer, for large batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.optim.optimizer_registry import optimizer
from cnnrecipes.optim.optimizers.adamw import AdamW, adam_direction

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")


@optimizer("lamb")
class LAMB(AdamW):
    """Adam's step with weight decay, scaled by each kernel's trust ratio; for large batches (You et al. 2020, alg. 2).

    phi(x) = x. Variables excluded from weight decay (norms and biases, unless `optimizer.decay_all`) take Adam's step
    unscaled, as in NVIDIA's and timm's implementations.
    """

    epsilon: float = Field(default=1e-6, gt=0)

    decays_in_step = True

    def step(self, optimizer, gradient, variable, learning_rate, momentum, velocity):
        direction = adam_direction(self, optimizer, gradient, momentum, velocity)
        if optimizer.decays(variable):
            direction = direction + optimizer.decoupled_decay * variable
            weight, length = _norm(variable), _norm(direction)
            # The ratio is 1 where one of the two is 0.
            ratio = tf.where((weight > 0) & (length > 0), weight / length, 1.0)
            learning_rate = learning_rate * ratio
        optimizer.assign_sub(variable, learning_rate * direction)


def _norm(values) -> tf.Tensor:
    return tf.sqrt(tf.reduce_sum(tf.square(tf.convert_to_tensor(values))))

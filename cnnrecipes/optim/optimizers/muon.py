"""Muon for convolutional networks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.optim.optimizer_registry import Decay, Optimizer, optimizer
from cnnrecipes.optim.optimizers.adamw import adam_direction

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")

# Coefficients of the quintic Newton-Schulz iteration (Jordan et al. 2024).
_A, _B, _C = 3.4445, -4.7750, 2.0315
# Matches the root mean square of AdamW's updates (Liu et al. 2025, section 2.2).
_RMS = 0.2


@optimizer("muon")
class Muon(Optimizer):
    """Orthogonalized Nesterov momentum for kernels of hidden layers, AdamW for other variables (Jordan et al. 2024).

    AdamW updates vectors and the kernels of the first and the last layer. A kernel of a convolution
    (height, width, channels, filters) is a matrix (height * width * channels, filters), with the scale of Liu et al.
    2025. `keras.optimizers.Muon` leaves convolutions to AdamW.
    """

    momentum: Decay = 0.95
    steps: int = Field(default=5, ge=1, description="Newton-Schulz iterations")
    auxiliary_rate: float = Field(default=1.0, gt=0, description="learning rate of AdamW, as a multiple of Muon's")
    beta_1: Decay = 0.9
    beta_2: Decay = 0.999
    epsilon: float = Field(default=1e-8, gt=0)

    def create_slots(self, optimizer, variables):
        """Return a momentum for each variable, and a velocity for those of AdamW."""
        matrices = [variable.path for variable in variables if len(variable.shape) > 1]
        auxiliary = {*matrices[:1], *matrices[-1:]}
        momentums = optimizer.add_optimizer_variables(variables, "momentum")
        return [
            (momentum, optimizer.add_variable_from_reference(variable, name="velocity"))
            if len(variable.shape) < 2 or variable.path in auxiliary
            else (momentum,)
            for variable, momentum in zip(variables, momentums, strict=True)
        ]

    def rate_factor(self, momentum, velocity=None):
        return 1.0 if velocity is None else self.auxiliary_rate

    def step(self, optimizer, gradient, variable, learning_rate, momentum, velocity=None):
        if velocity is not None:
            optimizer.assign_sub(
                variable, learning_rate * adam_direction(self, optimizer, gradient, momentum, velocity)
            )
            return
        optimizer.assign(momentum, self.momentum * momentum + gradient)
        matrix = tf.reshape(gradient + self.momentum * momentum, (-1, variable.shape[-1]))
        update = _RMS * math.sqrt(max(matrix.shape)) * orthogonalized(matrix, self.steps)
        optimizer.assign_sub(variable, learning_rate * tf.reshape(update, variable.shape))


def orthogonalized(matrix: tf.Tensor, steps: int) -> tf.Tensor:
    """Approximate the nearest (semi-)orthogonal matrix; singular values in about [0.7, 1.2] (Jordan et al. 2024).

    Args:
        matrix: (rows, columns), float32.
        steps: Newton-Schulz iterations.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = tf.transpose(matrix) if tall else matrix
    x = x / (tf.sqrt(tf.reduce_sum(tf.square(x))) + 1e-7)
    for _ in range(steps):
        square = tf.matmul(x, x, transpose_b=True)
        x = _A * x + tf.matmul(_B * square + _C * tf.matmul(square, square), x)
    return tf.transpose(x) if tall else x

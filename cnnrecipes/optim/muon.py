"""Muon for convolutional networks."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from cnnrecipes.optim.adam import adam_direction
from cnnrecipes.optim.base_optimizer import RecipeOptimizer

# Coefficients of the quintic Newton-Schulz iteration (Jordan et al. 2024).
_A, _B, _C = 3.4445, -4.7750, 2.0315
# Matches the root mean square of AdamW's updates (Liu et al. 2025, section 2.2).
_RMS = 0.2


@keras.saving.register_keras_serializable(package="cnnrecipes")
class Muon(RecipeOptimizer, keras.optimizers.Optimizer):
    """Orthogonalized momentum for kernels of convolutions, AdamW for other variables (Jordan et al. 2024, "Muon").

    A kernel (height, width, channels, filters) is a matrix (height * width * channels, filters).
    `keras.optimizers.Muon` leaves convolutions to AdamW.

    Args:
        learning_rate: learning rate of the matrices.
        momentum, nesterov: momentum coefficient of the matrices, 0..1, and whether to use Nesterov momentum.
        steps: Newton-Schulz iterations.
        auxiliary_rate: learning rate of AdamW's variables as a multiple of `learning_rate`; scales their decoupled
            decay too.
        beta_1, beta_2, epsilon: parameters of AdamW.

    Attributes:
        auxiliary: paths of matrices that are updated by AdamW: those of the first layer and of the classifier.
    """

    def __init__(
        self,
        learning_rate=0.02,
        *,
        momentum: float = 0.95,
        nesterov: bool = True,
        steps: int = 5,
        auxiliary_rate: float = 1.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        **options,
    ):
        super().__init__(learning_rate, **options)
        self.momentum, self.nesterov, self.steps, self.auxiliary_rate = momentum, nesterov, steps, auxiliary_rate
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.auxiliary: set[str] = set()

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._momentums = self.add_optimizer_variables(variables, "momentum")
        self._velocities = [
            self.add_variable_from_reference(v, name="velocity") if self._is_auxiliary(v) else None for v in variables
        ]

    def _is_auxiliary(self, variable) -> bool:
        return len(variable.shape) < 2 or variable.path in self.auxiliary

    def _rate_factor(self, variable) -> float:
        return super()._rate_factor(variable) * (self.auxiliary_rate if self._is_auxiliary(variable) else 1.0)

    def _step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        momentum, velocity = self._momentums[index], self._velocities[index]
        if velocity is not None:
            self.assign_sub(variable, learning_rate * adam_direction(self, gradient, momentum, velocity))
            return
        self.assign(momentum, self.momentum * momentum + gradient)
        direction = gradient + self.momentum * momentum if self.nesterov else tf.convert_to_tensor(momentum)
        matrix = tf.reshape(direction, (-1, direction.shape[-1]))
        scale = _RMS * math.sqrt(max(matrix.shape))
        update = scale * orthogonalized(matrix, self.steps)
        self.assign_sub(variable, learning_rate * tf.reshape(update, variable.shape))

    def get_config(self):
        names = ("momentum", "nesterov", "steps", "auxiliary_rate", "beta_1", "beta_2", "epsilon")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


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

"""Adam-type optimizers: AdamW, LAMB and schedule-free AdamW."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from cnnrecipes.optim.base_optimizer import RecipeOptimizer


@keras.saving.register_keras_serializable(package="cnnrecipes")
class AdamW(RecipeOptimizer, keras.optimizers.Optimizer):
    """AdamW: algorithm 2 of Loshchilov & Hutter 2019, "Decoupled weight decay regularization", as in PyTorch.

    Epsilon is added to the square root of the bias-corrected second moment. `keras.optimizers.AdamW` adds it before
    the correction, which makes it up to 1 / sqrt(1 - beta_2) = 32 times as large in the first steps.
    """

    def __init__(
        self, learning_rate=0.001, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8, **options
    ):
        super().__init__(learning_rate, **options)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(variables, ["momentum", "velocity"])

    def _step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, learning_rate * self._direction(gradient, variable))

    def _direction(self, gradient, variable) -> tf.Tensor:
        """Update both moments, and return Adam's step for a learning rate of 1."""
        index = self._get_variable_index(variable)
        return adam_direction(self, gradient, self._momentums[index], self._velocities[index])

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="cnnrecipes")
class LAMB(AdamW):
    """LAMB: algorithm 2 of You et al. 2020, "Large batch optimization for deep learning", with phi(x) = x.

    The trust ratio scales Adam's step including the weight decay. Variables excluded from weight decay (norms, biases)
    take Adam's step unscaled, as in NVIDIA's and timm's implementations.
    """

    def __init__(self, learning_rate=0.001, *, epsilon: float = 1e-6, **options):
        super().__init__(learning_rate, epsilon=epsilon, **options)

    def _decay(self, variable, learning_rate) -> None:
        """Left to the step."""

    def _step(self, gradient, variable, learning_rate):
        direction = self._direction(gradient, variable)
        if self._use_weight_decay(variable):
            direction = direction + self.decoupled_decay * variable
            weight, length = _norm(variable), _norm(direction)
            # The ratio is 1 where one of the two is 0.
            ratio = tf.where((weight > 0) & (length > 0), weight / length, 1.0)
            learning_rate = learning_rate * ratio
        self.assign_sub(variable, learning_rate * direction)


@keras.saving.register_keras_serializable(package="cnnrecipes")
class ScheduleFreeAdamW(AdamW):
    """Schedule-free AdamW (Defazio et al. 2024, "The road less scheduled") with a uniform average.

    The update is that of the reference, facebookresearch/schedule_free, adamw_schedulefree_reference.py. The model's
    weights are y = (1 - beta_1) z + beta_1 x, where the gradient is computed; `ScheduleFreeAverage` evaluates x, the
    average of z. Keras' own class (3.14 to 3.15, TensorFlow) computes x from the z after the update.
    """

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        for z, variable in zip(self.z, variables, strict=True):
            self.assign(z, tf.convert_to_tensor(variable))

    @property
    def z(self) -> list[keras.Variable]:
        """The base iterates z, in the order of the model's trainable variables."""
        return self._momentums

    def _decay(self, variable, learning_rate) -> None:
        """Left to the step."""

    def _step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        z, velocity = self.z[index], self._velocities[index]
        step = tf.cast(self.iterations + 1, variable.dtype)
        y_before, z_before = tf.identity(variable), tf.identity(z)
        x_before = (y_before - (1 - self.beta_1) * z_before) / self.beta_1
        self.assign_add(velocity, (1 - self.beta_2) * (tf.square(gradient) - velocity))
        direction = gradient / (tf.sqrt(velocity / bias_correction(self.beta_2, step)) + self.epsilon)
        if self._use_weight_decay(variable):
            direction = direction + self.decoupled_decay * y_before
        z_after = z_before - learning_rate * direction
        x_after = x_before + (z_after - x_before) / step
        self.assign(z, z_after)
        self.assign(variable, (1 - self.beta_1) * z_after + self.beta_1 * x_after)


def adam_direction(optimizer, gradient, momentum, velocity) -> tf.Tensor:
    """Update both moments, and return Adam's step for a learning rate of 1 (Kingma & Ba 2015, algorithm 1).

    optimizer: has the attributes beta_1, beta_2, epsilon and iterations.
    """
    step = tf.cast(optimizer.iterations + 1, gradient.dtype)
    optimizer.assign_add(momentum, (1 - optimizer.beta_1) * (gradient - momentum))
    optimizer.assign_add(velocity, (1 - optimizer.beta_2) * (tf.square(gradient) - velocity))
    mean = momentum / bias_correction(optimizer.beta_1, step)
    return mean / (tf.sqrt(velocity / bias_correction(optimizer.beta_2, step)) + optimizer.epsilon)


def bias_correction(beta: float, step: tf.Tensor) -> tf.Tensor:
    """Return 1 - beta^step without cancellation, which costs float32 four of seven digits at beta = 0.999, step = 1."""
    return -tf.math.expm1(step * (math.log(beta) if beta else -math.inf))


def _norm(values) -> tf.Tensor:
    return tf.sqrt(tf.reduce_sum(tf.square(tf.convert_to_tensor(values))))

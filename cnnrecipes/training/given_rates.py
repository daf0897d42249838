"""`GivenRates`: a learning rate schedule whose values can change between trainings that share one graph."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.keras_optim.recipe_schedule import RecipeSchedule


class GivenRates(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rates of the steps, which can change without another graph; the last one holds afterwards.

    Args:
        count: number of rates.
    """

    def __init__(self, count: int = 1):
        self._rates = keras.Variable(np.zeros(count, np.float32), trainable=False, name="given_rates")

    def __call__(self, step):
        """Return the learning rate of a step, counted from 0."""
        rates = tf.convert_to_tensor(self._rates)
        return tf.gather(rates, tf.minimum(tf.cast(step, tf.int32), rates.shape[0] - 1))

    def set(self, rates: float | Sequence[float] | np.ndarray) -> None:
        """Set the rates."""
        self._rates.assign(np.broadcast_to(np.asarray(rates, np.float32), self._rates.shape))


def rates_of(schedule: RecipeSchedule) -> np.ndarray:
    """Return the learning rate of each step of a training, (steps,) float32."""
    return np.asarray(schedule(tf.range(schedule.total_steps, dtype=tf.int64)), np.float32)

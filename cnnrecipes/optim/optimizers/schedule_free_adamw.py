"""Schedule-free AdamW: an average of the weights replaces the decay of the learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.optim.optimizer_registry import optimizer
from cnnrecipes.optim.optimizers.adamw import AdamW, bias_correction

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")


@optimizer("schedule_free_adamw")
class ScheduleFreeAdamW(AdamW):
    """AdamW with a uniform average; use `schedule = "constant"` (Defazio et al. 2024, "The road less scheduled").

    The model's weights are y = (1 - beta_1) z + beta_1 x, where the
    gradient is computed; evaluation uses x, the average of z (eq. 8 to 10). The update is that of the reference,
    facebookresearch/schedule_free, adamw_schedulefree_reference.py. Keras' own class (3.14 to 3.15, TensorFlow)
    computes x from the z after the update.
    """

    beta_1: Annotated[float, Field(gt=0, lt=1)] = 0.9

    # The base iterate z has the place of Adam's momentum.
    slots = ("momentum", "velocity")
    decays_in_step = True
    averages_weights = True

    def create_slots(self, optimizer, variables):
        slots = super().create_slots(optimizer, variables)
        for (z, _), variable in zip(slots, variables, strict=True):
            optimizer.assign(z, tf.convert_to_tensor(variable))
        return slots

    def step(self, optimizer, gradient, variable, learning_rate, z, velocity):
        step = tf.cast(optimizer.iterations + 1, variable.dtype)
        y_before, z_before = tf.identity(variable), tf.identity(z)
        x_before = (y_before - (1 - self.beta_1) * z_before) / self.beta_1
        optimizer.assign_add(velocity, (1 - self.beta_2) * (tf.square(gradient) - velocity))
        direction = gradient / (tf.sqrt(velocity / bias_correction(self.beta_2, step)) + self.epsilon)
        if optimizer.decays(variable):
            direction = direction + optimizer.decoupled_decay * y_before
        z_after = z_before - learning_rate * direction
        x_after = x_before + (z_after - x_before) / step
        optimizer.assign(z, z_after)
        optimizer.assign(variable, (1 - self.beta_1) * z_after + self.beta_1 * x_after)

    def averaged(self, variable, z, velocity):
        return (variable.value - (1 - self.beta_1) * z.value) / self.beta_1

"""Lion: sign of an interpolated momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.optim.optimizer_registry import Decay, Optimizer, optimizer

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_module("keras")


@optimizer("lion")
class Lion(Optimizer):
    """Step along the sign of a momentum (Chen et al. 2023, algorithm 2); use a tenth of AdamW's learning rate.

    The update is that of Keras' Lion.
    """

    beta_1: Annotated[float, Field(gt=0, lt=1)] = 0.9
    beta_2: Decay = 0.99

    slots = ("momentum",)

    def step(self, optimizer, gradient, variable, learning_rate, momentum):
        beta_1, beta_2 = (keras.ops.cast(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
        direction = keras.ops.sign(momentum * beta_1 + gradient * (1.0 - beta_1))
        optimizer.assign_sub(variable, learning_rate * direction)
        optimizer.assign(momentum, momentum * beta_2 + gradient * (1.0 - beta_2))

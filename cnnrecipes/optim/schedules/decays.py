"""Smooth decays from the peak to a floor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.errors import RecipeError
from cnnrecipes.optim.schedule_registry import Factor, Floor, Piece, Schedule, Shape, as_float, schedule
from cnnrecipes.optim.schedules.cosine_interpolation import half_cosine
from cnnrecipes.syntax.duration import Duration

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_module("keras")


@schedule("cosine")
class Cosine(Schedule):
    """Half a cosine from the peak to the floor (Loshchilov & Hutter 2017, "SGDR", eq. 5, without restarts)."""

    floor: Floor = 0.0

    def shape(self, piece: Piece) -> Shape:
        steps = piece.total - piece.warmup
        return lambda step: half_cosine(1.0, self.floor, as_float(step - piece.warmup) / as_float(steps))


@schedule("polynomial")
class Polynomial(Schedule):
    """Decay by (remaining share of the training)^power to the floor; power 1 is linear."""

    power: float = Field(default=1.0, gt=0)
    floor: Floor = 0.0

    def shape(self, piece: Piece) -> Shape:
        steps = piece.total - piece.warmup

        def share(step):
            left = keras.ops.clip(as_float(piece.total - step) / steps, 0.0, 1.0)
            return self.floor + (1 - self.floor) * keras.ops.power(left, self.power)

        return share


@schedule("exponential")
class Exponential(Schedule):
    """Decay by a factor per interval, smoothly in every step; an interval may be longer than the training."""

    every: Duration = Duration(1, "epochs")
    factor: Factor = 0.95

    def has_room(self, warmup: float, epochs: float) -> bool:
        return True

    def shape(self, piece: Piece) -> Shape:
        every = piece.steps("optimizer.schedule's every", self.every)
        return lambda step: keras.ops.power(self.factor, as_float(step - piece.warmup) / every)


@schedule("trapezoid")
class Trapezoid(Schedule):
    """The peak, then a linear cooldown to the floor (Hägele et al. 2024, "Scaling laws beyond fixed durations")."""

    cooldown: Duration = Duration(20, "%")
    floor: Floor = 0.0

    def has_room(self, warmup: float, epochs: float) -> bool:
        return all(warmup + length <= epochs for length in self.lengths(epochs))

    def shape(self, piece: Piece) -> Shape:
        cooldown = piece.steps("optimizer.schedule's cooldown", self.cooldown)
        if piece.warmup + cooldown > piece.total:
            raise RecipeError(
                f"a warm-up of {piece.warmup} steps and a cooldown of {cooldown} do not fit into a training of "
                f"{piece.total}; make one of them shorter"
            )

        def share(step):
            left = keras.ops.clip(as_float(piece.total - step) / cooldown, 0.0, 1.0)
            return self.floor + (1 - self.floor) * left

        return share

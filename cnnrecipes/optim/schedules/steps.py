"""Schedules that multiply the learning rate by a factor at certain steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.errors import RecipeError
from cnnrecipes.optim.schedule_registry import Factor, Piece, Schedule, Shape, as_float, schedule
from cnnrecipes.optim.schedules.constant_and_plateau import Constant
from cnnrecipes.syntax.duration import Duration

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:
    keras = lazy_module("keras")
    tf = lazy_module("tensorflow")


@schedule("step")
class Step(Schedule):
    """Multiply by a factor after every interval."""

    every: Duration
    factor: Factor = 0.1

    def shape(self, piece: Piece) -> Shape:
        every = piece.steps("optimizer.schedule's every", self.every, within=piece.total)

        def share(step):
            whole = tf.cast(tf.floor(step) if step.dtype.is_floating else step, tf.int64)
            return keras.ops.power(self.factor, as_float(whole // every))

        return share


@schedule("multi_step")
class MultiStep(Schedule):
    """Multiply by a factor at each milestone, for example `multi_step(['60 epochs', '75%'])` (He et al. 2015)."""

    milestones: Annotated[tuple[Duration, ...], Field(strict=False, min_length=1)]
    factor: Factor = 0.1

    def shape(self, piece: Piece) -> Shape:
        key = "a milestone of optimizer.schedule"
        steps = [piece.steps(key, milestone, within=piece.total) for milestone in self.milestones]
        if steps != sorted(set(steps)):
            raise RecipeError(f"optimizer.schedule's milestones are at steps {steps}; give them in increasing order")

        def share(step):
            passed = sum(keras.ops.cast(step >= milestone, "float32") for milestone in steps)
            return keras.ops.power(self.factor, passed)

        return share

    def clipped(self, piece: Piece) -> Schedule:
        steps = [milestone.steps(piece.steps_per_epoch, piece.total) for milestone in self.milestones]
        kept = {step: one for step, one in zip(steps, self.milestones, strict=True) if 0 < step < piece.total}
        if len(kept) == len(steps):
            return self
        return self.model_copy(update={"milestones": tuple(kept.values())}) if kept else Constant()

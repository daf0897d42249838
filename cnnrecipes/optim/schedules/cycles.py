"""Schedules that rise again: the one-cycle policy and warm restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.optim.schedule_registry import Floor, Piece, Schedule, Shape, as_float, schedule
from cnnrecipes.optim.schedules.cosine_interpolation import half_cosine
from cnnrecipes.syntax.duration import Duration

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:
    keras = lazy_module("keras")
    tf = lazy_module("tensorflow")


@schedule("one_cycle")
class OneCycle(Schedule):
    """Rise, then decay, along cosines (Smith & Topin 2017, "Super-convergence"), like PyTorch's OneCycleLR."""

    rise: float = Field(default=0.3, gt=0, lt=1, description="share of the training in which the learning rate rises")
    start_ratio: float = Field(default=25.0, gt=1, description="the peak divided by the initial rate")
    end_ratio: float = Field(default=1e4, gt=1, description="the initial rate divided by the final rate")

    own_warmup = True

    def shape(self, piece: Piece) -> Shape:
        start = 1 / self.start_ratio
        # PyTorch counts the steps between the first and the last, and so does this.
        top, last = self.rise * piece.total - 1, piece.total - 1

        def share(step):
            step = as_float(step)
            up = half_cosine(start, 1.0, step / max(top, 1e-9))
            down = half_cosine(1.0, start / self.end_ratio, (step - top) / max(last - top, 1e-9))
            return keras.ops.where(step <= top, up, down)

        return share


@schedule("warm_restarts")
class WarmRestarts(Schedule):
    """Cosine decay that restarts at the peak after every cycle (Loshchilov & Hutter 2017, "SGDR", eq. 5)."""

    first: Duration = Field(default=Duration(10, "epochs"), description="length of the first cycle")
    growth: float = Field(default=2.0, ge=1, description="length of a cycle divided by that of the previous one")
    floor: Floor = 0.0

    def has_room(self, warmup: float, epochs: float) -> bool:
        return all(warmup + length <= epochs for length in self.lengths(epochs))

    def shape(self, piece: Piece) -> Shape:
        starts, lengths = zip(*self._cycles(piece), strict=True)

        def share(step):
            begins = tf.constant(starts, step.dtype)
            begun = tf.reduce_sum(tf.cast(step[..., tf.newaxis] >= begins, tf.int32), axis=-1)
            cycle = tf.maximum(begun - 1, 0)
            since, length = step - tf.gather(begins, cycle), tf.gather(tf.constant(lengths), cycle)
            return half_cosine(1.0, self.floor, as_float(since) / as_float(length))

        return share

    def _cycles(self, piece: Piece) -> list[tuple[int, int]]:
        """Return (first step, length in steps) of each cycle."""
        first = piece.steps("optimizer.schedule's first", self.first, within=piece.total - piece.warmup + 1)
        cycles: list[tuple[int, int]] = []
        begin = piece.warmup
        while begin < piece.total:
            cycles.append((begin, round(first * self.growth ** len(cycles))))
            begin += cycles[-1][1]
        return cycles

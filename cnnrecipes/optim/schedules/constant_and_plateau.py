"""Constant learning rate, throughout or until the validation stops improving."""

from __future__ import annotations

from cnnrecipes.optim.schedule_registry import (
    Factor,
    Floor,
    Piece,
    Schedule,
    Shape,
    ValidationSchedule,
    constant,
    schedule,
)

_LOWEST = 1e-12  # share of the peak below which a learning rate is not reduced


@schedule("constant")
class Constant(Schedule):
    """The peak learning rate in every step."""

    def shape(self, piece: Piece) -> Shape:
        return constant(1.0)


@schedule("plateau")
class Plateau(ValidationSchedule):
    """Multiply the learning rate by a factor when the validation has not improved for `patience` epochs."""

    factor: Factor = 0.1
    floor: Floor = 0.0

    def reduced(self, share: float) -> float:
        return max(share * self.factor, self.floor, _LOWEST)

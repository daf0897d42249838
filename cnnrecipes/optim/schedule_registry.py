"""Learning rate schedules: base classes and registry; `"step('30 epochs', 0.1)"` in a recipe calls a registered class.

A schedule is one class, in any module: its fields are the parameters that a recipe may give.

    @schedule("linear")
    class Linear(Schedule):
        '''Linear decay from the peak to the floor.'''

        floor: Floor = 0.0

        def shape(self, piece):
            return lambda step: 1 - (1 - self.floor) * as_float(step) / piece.total

The modules of `schedules/` are imported when a name is first looked up. A module outside of the package registers its
schedules when it is imported; the environment variable CNNRECIPES_PLUGINS lists modules for the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.errors import RecipeError
from cnnrecipes.syntax.call_syntax import Call
from cnnrecipes.syntax.duration import Duration
from cnnrecipes.syntax.registry import Registry

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:
    keras = lazy_module("keras")
    tf = lazy_module("tensorflow")

# A function of the step, a tensor. The step is an integer, so that boundaries are exact in a graph too, where a
# division by a constant becomes a multiplication; it is a float32 under a time budget.
Shape = Callable[[Any], Any]

Factor = Annotated[float, Field(gt=0, lt=1)]
Floor = Annotated[float, Field(ge=0, le=1, description="lowest learning rate, as a share of the peak")]


@dataclass(frozen=True)
class Piece:
    """The part of a training that a schedule spans from its start to its end: all of it, or one extension.

    Attributes:
        steps_per_epoch: optimizer steps per epoch.
        total: length in steps.
        warmup: steps of the warm-up at its start.
    """

    steps_per_epoch: int
    total: int
    warmup: int = 0

    def steps(self, key: str, duration: Duration, *, within: int | None = None) -> int:
        """Convert a duration to steps.

        Args:
            key: name of the duration for error messages, for example "optimizer.warmup".
            within: exclusive upper bound.

        Raises:
            RecipeError: the duration is less than 1 step, or not less than `within`.
        """
        steps = duration.steps(self.steps_per_epoch, self.total)
        if steps < 1:
            raise RecipeError(f"{key} = '{duration}' is less than a step; make it longer")
        if within is not None and steps >= within:
            raise RecipeError(
                f"{key} = '{duration}' is {steps} steps of a training of {self.total}; make it shorter, for example "
                "'5%'"
            )
        return steps


class Schedule(Call):
    """Base class of learning rate schedules.

    Attributes:
        own_warmup: the schedule rises from a low learning rate itself; `optimizer.warmup` is an error.
    """

    own_warmup: ClassVar[bool] = False

    def shape(self, piece: Piece) -> Shape:
        """Return the learning rate, as a share of the peak, as a function of the step.

        The function maps a tensor of steps, int64 or float32, to float32 of the same shape. Step 0 is the first step of
        `piece`; the values in the first `piece.warmup` steps are not used.

        Args:
            piece: the part of the training that the schedule spans, with its length in steps.

        Raises:
            RecipeError: a duration is less than 1 step, or does not fit into `piece`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define shape()")

    def has_room(self, warmup: float, epochs: float) -> bool:
        """Return True if the schedule's durations fit into a training of `epochs` epochs; those in steps count as 0.

        Args:
            warmup: length of the warm-up in epochs, less than `epochs`; matters to schedules that begin after it.
            epochs: length of the whole training, with the warm-up.
        """
        return all(length < epochs for length in self.lengths(epochs))

    def clipped(self, piece: Piece) -> Schedule:
        """Return the schedule without the milestones at or after step `piece.total`; `self` if there are none."""
        return self

    def durations(self) -> Iterator[Duration]:
        """Iterate over the values of all fields that are durations or tuples of durations."""
        for _, value in self:
            if _is_duration(value):
                yield from value if isinstance(value, tuple) else (value,)

    def lengths(self, epochs: float) -> list[float]:
        """Return the durations in epochs, for a training of `epochs` epochs; durations in steps count as 0."""
        return [in_epochs(duration, epochs) for duration in self.durations()]

    def with_durations(self, change: Callable[[Duration], Duration]) -> Schedule:
        """Return a copy with a function applied to each duration."""
        changed = {
            name: tuple(map(change, value)) if isinstance(value, tuple) else change(value)
            for name, value in self
            if _is_duration(value)
        }
        return self.model_copy(update=changed)


class ValidationSchedule(Schedule):
    """Base class of schedules that reduce the learning rate when the validation does not improve."""

    patience: int = Field(
        default=10, ge=1, description="epochs without improvement of the validation before a reduction"
    )

    def shape(self, piece: Piece) -> Shape:
        """Return the constant function 1.0, the peak; `RecipeSchedule` multiplies it by the reductions so far."""
        return constant(1.0)

    def reduced(self, share: float) -> float:
        """Return the share of the peak after a reduction from `share`; `share` at the lowest learning rate."""
        raise NotImplementedError(f"{type(self).__name__} must define reduced()")


SCHEDULES: Registry[Schedule] = Registry("schedule", Schedule, f"{__package__}.schedules")
schedule = SCHEDULES.register


def in_epochs(duration: Duration, epochs: float) -> float:
    """Return a duration in epochs, for a training of `epochs` epochs; 0.0 for a duration in steps."""
    return {"epochs": duration.amount, "%": duration.amount / 100 * epochs, "steps": 0.0}[duration.unit]


def as_float(step: tf.Tensor) -> tf.Tensor:
    """Cast a step to float32."""
    return tf.cast(step, tf.float32)


def constant(value: float) -> Shape:
    """Return a function of the step that is `value` everywhere, float32."""
    return lambda step: keras.ops.full_like(as_float(step), value)


def _is_duration(value: Any) -> bool:
    return isinstance(value, Duration) or (isinstance(value, tuple) and all(isinstance(one, Duration) for one in value))

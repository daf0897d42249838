"""The learning rate of a recipe as a Keras schedule: warm-up, schedule, and extensions of a finished training run."""

from __future__ import annotations

import math
from typing import Any

import keras
import pydantic
import tensorflow as tf

from cnnrecipes.errors import RecipeError
from cnnrecipes.optim import shortened_schedules
from cnnrecipes.optim.schedule_extension_registry import EXTENSIONS
from cnnrecipes.optim.schedule_registry import SCHEDULES, Piece, Shape, ValidationSchedule, as_float
from cnnrecipes.recipe import schema
from cnnrecipes.syntax.call_syntax import write_call
from cnnrecipes.syntax.duration import Duration, TimeSpan

# The batch of the papers' learning rates (Goyal et al. 2017, section 2.1).
REFERENCE_BATCH = 256


class Plan(pydantic.BaseModel):
    """Values of the recipe keys that decide the learning rate, from the tables `optimizer` and `train`."""

    model_config = pydantic.ConfigDict(frozen=True)

    epochs: int
    learning_rate: float
    scale_rate: str
    schedule: str
    warmup: Duration
    extensions: tuple[str, ...]
    time_budget: TimeSpan | None = None

    @classmethod
    def of(cls, optimizer: schema.Optimizer, train: schema.Train) -> Plan:
        """Return the plan of a recipe's tables `optimizer` and `train`."""
        tables = {**optimizer.model_dump(), **train.model_dump()}
        return cls(**{key: tables[key] for key in cls.model_fields})

    def peak(self, batch_size: int) -> float:
        """Return the peak learning rate, scaled with the batch size according to `scale_rate`."""
        ratio = batch_size / REFERENCE_BATCH
        return self.learning_rate * {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[self.scale_rate]

    def scaled(self, share: float) -> Plan:
        """Return the plan with the durations of warm-up and schedule multiplied by `share`; percentages are kept."""
        warmup = shortened_schedules.scaled(self.warmup, share)
        text = shortened_schedules.scaled_schedule(self.schedule, share)
        return self.model_copy(update={"warmup": warmup, "schedule": text})


def build_schedule(
    optimizer: schema.Optimizer, train: schema.Train, steps_per_epoch: int, batch_size: int = REFERENCE_BATCH
) -> RecipeSchedule:
    """Return the learning rate of a recipe as a function of the optimizer step.

    Args:
        optimizer: the `optimizer` table of the recipe.
        train: the `train` table of the recipe.
        steps_per_epoch: optimizer steps per epoch.
        batch_size: images per step, for `optimizer.scale_rate`.

    Raises:
        RecipeError: a warm-up, cooldown, milestone or cycle that does not fit into the training run.
    """
    plan = Plan.of(optimizer, train)
    return RecipeSchedule(plan.model_dump(mode="json", exclude_none=True), steps_per_epoch, batch_size)


@keras.saving.register_keras_serializable(package="cnnrecipes", name="Schedule")
class RecipeSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate of a recipe: linear warm-up, then a schedule of the registry, then its extensions.

    Args:
        plan: `Plan` as a dictionary.
        steps_per_epoch: optimizer steps per epoch.
        batch_size: images per step.

    Attributes:
        peak: the peak learning rate.
        total_steps: optimizer steps of the whole training.
        plateau: the schedule if it depends on the validation; None otherwise.
        factor: product of the plateau's reductions so far.
        position: schedule position in steps under a time budget, which may differ from the optimizer step; None
            without a time budget.
    """

    def __init__(self, plan: dict[str, Any], steps_per_epoch: int, batch_size: int):
        self.plan, self.steps_per_epoch, self.batch_size = plan, steps_per_epoch, batch_size
        spec = Plan.model_validate(plan)
        self.peak = spec.peak(batch_size)
        self.total_steps = spec.epochs * steps_per_epoch
        self.factor = keras.Variable(1.0, trainable=False, name="plateau_factor")
        self.position = keras.Variable(0.0, trainable=False, name="position") if spec.time_budget else None
        method = SCHEDULES.parse(spec.schedule)
        self.plateau = method if isinstance(method, ValidationSchedule) else None
        self._rates = _rates(spec, steps_per_epoch, self._scaled)

    def __call__(self, step):
        step = tf.convert_to_tensor(step if self.position is None else self.position)
        rate = self._rates[0][1](step)
        for start, after in self._rates[1:]:
            rate = keras.ops.where(step < start, rate, after(step))
        return rate

    def lower(self) -> bool:
        """Apply one reduction of the plateau; return False without a plateau, or at the lowest learning rate."""
        if self.plateau is None:
            return False
        before = float(self.factor.numpy())
        self.factor.assign(self.plateau.reduced(before))
        return float(self.factor.numpy()) < before

    @property
    def variables(self) -> list[keras.Variable]:
        """Variables that are saved in a checkpoint."""
        return [self.factor] if self.position is None else [self.factor, self.position]

    def get_config(self):
        return {"plan": self.plan, "steps_per_epoch": self.steps_per_epoch, "batch_size": self.batch_size}

    def _scaled(self, shape: Shape) -> Shape:
        """Return the learning rate as a function of the step, for `shape`, the share of the peak."""
        factor = self.factor if self.plateau else 1.0
        return lambda step: self.peak * shape(step) * factor


def _rates(plan: Plan, steps_per_epoch: int, scaled) -> list[tuple[int, Shape]]:
    """Return (first step, learning rate as a function of the step) of the recipe's schedule and of each extension.

    scaled: maps a share of the peak to a learning rate, both functions of the step.
    """
    extensions = [EXTENSIONS.parse(text) for text in plan.extensions]
    if extensions and extensions[-1].epoch >= plan.epochs:
        raise RecipeError(
            f"optimizer.extensions = {list(plan.extensions)}: the last one begins after epoch {extensions[-1].epoch}, "
            f"but train.epochs is {plan.epochs}; raise train.epochs above {extensions[-1].epoch}"
        )
    # The schedule of a training that was stopped early had been planned for more epochs than it trained.
    first, *ends = [epochs * steps_per_epoch for epochs in (*(one.planned_epochs for one in extensions), plan.epochs)]

    def own(total: int) -> Shape:
        return scaled(_shape_with_room(plan, steps_per_epoch, total, first))

    rates = [(0, own(first))]
    for extension, end in zip(extensions, ends, strict=True):
        start = extension.epoch * steps_per_epoch
        rates.append((start, extension.rate(own, start, end)))
    return rates


def _shape_with_room(plan: Plan, steps_per_epoch: int, total: int, planned: int) -> Shape:
    """Return the learning rate as in `_shape`; durations are scaled if they fit into `planned` steps only."""
    try:
        return _shape(plan, steps_per_epoch, total)
    except RecipeError:
        if total < planned:
            return _shape(plan.scaled(total / planned), steps_per_epoch, total)
        raise


def _shape(plan: Plan, steps_per_epoch: int, total: int) -> Shape:
    """Return a function from the step to the share of the peak learning rate: warm-up, then the schedule."""
    method = SCHEDULES.parse(plan.schedule)
    if plan.warmup.amount and method.own_warmup:
        name = write_call(method, SCHEDULES)
        raise RecipeError(
            f"optimizer.warmup = '{plan.warmup}' with {name}, which has its own warm-up; set it to '0 epochs'"
        )
    warmup = 0
    if plan.warmup.steps(steps_per_epoch, total):
        warmup = Piece(steps_per_epoch, total).steps("optimizer.warmup", plan.warmup, within=total)
    after = method.shape(Piece(steps_per_epoch, total, warmup))
    if not warmup:
        return after
    # Above 0 at step 0, which would be lost otherwise: it would change nothing but the momentum.
    return lambda step: keras.ops.where(step < warmup, (as_float(step) + 1) / (warmup + 1), after(step))

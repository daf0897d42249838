"""Learning rate schedules of a recipe: warm-up, decay, and extensions of a finished training run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import pydantic
import tensorflow as tf

from cnnrecipes.optim import methods, rescale
from cnnrecipes.syntax.call_syntax import write_call
from cnnrecipes.syntax.duration import Duration, TimeSpan

if TYPE_CHECKING:
    from cnnrecipes.recipe import schema
from cnnrecipes.errors import RecipeError

# The batch of the papers' learning rates (Goyal et al. 2017, section 2.1).
REFERENCE_BATCH = 256

# A step of a piece of the training to a share of the peak. The step is an integer, so that boundaries are exact in a
# graph too, where a division by a constant becomes a multiplication; it is a float32 under a time budget.
Shape = Callable[[tf.Tensor], tf.Tensor]


class Plan(pydantic.BaseModel):
    """The keys of a recipe that decide the learning rate: those of the tables `optimizer` and `train` together."""

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
        tables = {**optimizer.model_dump(), **train.model_dump()}
        return cls(**{key: tables[key] for key in cls.model_fields})


def schedule(
    optimizer: schema.Optimizer, train: schema.Train, steps_per_epoch: int, batch_size: int = REFERENCE_BATCH
) -> Schedule:
    """Return the learning rate schedule of a recipe as a function of the optimizer step.

    Args:
        optimizer: the `optimizer` table of the recipe.
        train: its `train` table.
        steps_per_epoch: optimizer steps per epoch.
        batch_size: images per step, for `optimizer.scale_rate`.

    Raises:
        RecipeError: a warm-up, cooldown, milestone or cycle that does not fit into the training run.
    """
    plan = Plan.of(optimizer, train)
    return Schedule(plan.model_dump(mode="json", exclude_none=True), steps_per_epoch, batch_size)


def peak(spec: schema.Optimizer | Plan, batch_size: int) -> float:
    """Return the peak learning rate, scaled with the batch size according to `scale_rate`."""
    ratio = batch_size / REFERENCE_BATCH
    return spec.learning_rate * {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[spec.scale_rate]


@keras.saving.register_keras_serializable(package="cnnrecipes")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate schedule of a recipe: linear warm-up, the schedule, and its extensions.

    Attributes:
        factor: product of the plateau reductions so far.
        position: schedule position in steps under a time budget, which may differ from the optimizer step; None
            without a time budget.
    """

    def __init__(self, plan: dict[str, Any], steps_per_epoch: int, batch_size: int):
        self.plan, self.steps_per_epoch, self.batch_size = plan, steps_per_epoch, batch_size
        spec = Plan.model_validate(plan)
        self.peak = peak(spec, batch_size)
        self.total_steps = spec.epochs * steps_per_epoch
        self.factor = keras.Variable(1.0, trainable=False, name="plateau_factor")
        self.position = keras.Variable(0.0, trainable=False, name="position") if spec.time_budget else None
        self.plateau = _read(spec) if isinstance(_read(spec), methods.Plateau) else None
        self.pieces = _pieces(spec, self.peak, steps_per_epoch, self.factor if self.plateau else 1.0)

    def __call__(self, step):
        step = tf.convert_to_tensor(step if self.position is None else self.position)
        rate = self.pieces[0][1](step)
        for start, piece in self.pieces[1:]:
            rate = keras.ops.where(step < start, rate, piece(step))
        return rate

    def lower(self) -> bool:
        """Apply one plateau reduction; return False if the rate is already at the floor."""
        lowest = max(self.plateau.floor, 1e-12)
        before = float(self.factor.numpy())
        self.factor.assign(max(before * self.plateau.factor, lowest))
        return float(self.factor.numpy()) < before

    @property
    def variables(self) -> list[keras.Variable]:
        """Variables that are saved in a checkpoint."""
        return [self.factor] if self.position is None else [self.factor, self.position]

    def get_config(self):
        return {"plan": self.plan, "steps_per_epoch": self.steps_per_epoch, "batch_size": self.batch_size}


def _read(spec: Plan) -> methods.Schedule:
    return methods.schedule(spec.schedule)


def _pieces(spec: Plan, top: float, steps_per_epoch: int, factor) -> list[tuple[int, Shape]]:
    """Return (first step, learning rate as a function of the step) of the recipe's schedule and of each extension."""
    extensions = [methods.extension(text) for text in spec.extensions]
    ends = [extension.epoch for extension in extensions]
    if ends and ends[-1] >= spec.epochs:
        raise RecipeError(
            f"optimizer.extensions = {list(spec.extensions)} in a training of {spec.epochs} epochs; "
            f"raise train.epochs above {ends[-1]}"
        )
    # A training that was stopped early had its schedule planned for longer than it went.
    planned = [(extension.planned or extension.epoch) * steps_per_epoch for extension in extensions]
    ends, planned = [end * steps_per_epoch for end in ends], [*planned, spec.epochs * steps_per_epoch]
    own = _Length(steps_per_epoch, planned[0])
    pieces = [(0, _scaled(_shape(spec, own), top, factor))]
    for extension, start, end in zip(extensions, ends, planned[1:], strict=True):
        if isinstance(extension, methods.Hold):
            piece = _constant(extension.learning_rate)
        elif isinstance(extension, methods.Stretch):
            length = _Length(steps_per_epoch, end)
            piece = _scaled(_shape(_with_room(spec, length, own), length), top, factor)
        else:
            length = _Length(steps_per_epoch, end - start)
            again = _scaled(_shape(_with_room(spec, length, own), length), top, factor)
            piece = _moved(again, start)
        pieces.append((start, piece))
    return pieces


def _with_room(spec: Plan, length: _Length, own: _Length) -> Plan:
    """The spec for an extension, its warm-up and milestones scaled where it is too short for the recipe's own ones."""
    try:
        _shape(spec, length)
    except RecipeError:
        if length.total < own.total:
            return shortened(spec, length.total / own.total)
        raise
    return spec


def shortened(spec: Plan, share: float) -> Plan:
    """Return the spec with the durations of its warm-up and schedule multiplied by `share`."""
    warmup, text = rescale.scaled(spec.warmup, share), rescale.scaled_schedule(spec.schedule, share)
    return spec.model_copy(update={"warmup": warmup, "schedule": text})


def clipped(optimizer: schema.Optimizer, train: schema.Train, steps_per_epoch: int) -> dict[str, str]:
    """Return values of `optimizer.warmup` and `optimizer.schedule` that fit into a run too short for the recipe's own.

    A warm-up is shortened to 10% of the run; milestones after its end are dropped. Empty if everything fits.
    """
    spec = Plan.of(optimizer, train)
    length, found = _Length(steps_per_epoch, spec.epochs * steps_per_epoch), {}
    if spec.warmup.steps(steps_per_epoch, length.total) >= length.total:
        found["optimizer.warmup"] = "10%"
    method = _read(spec)
    if isinstance(method, methods.MultiStep):
        steps = [milestone.steps(steps_per_epoch, length.total) for milestone in method.milestones]
        kept = {step: one for step, one in zip(steps, method.milestones, strict=True) if 0 < step < length.total}
        if len(kept) < len(steps):
            left = method.model_copy(update={"milestones": tuple(kept.values())})
            found["optimizer.schedule"] = write_call(left, methods.SCHEDULES) if kept else "constant"
    return found


def _scaled(shape: Shape, top: float, factor) -> Shape:
    return lambda step: top * shape(step) * factor


def _moved(shape: Shape, start: int) -> Shape:
    return lambda step: shape(step - start)


def _constant(value: float) -> Shape:
    return lambda step: keras.ops.full_like(_real(step), value)


def _real(step) -> tf.Tensor:
    return tf.cast(step, tf.float32)


def _count(step) -> tf.Tensor:
    """Return the number of whole steps as an integer."""
    return tf.cast(tf.floor(step) if step.dtype.is_floating else step, tf.int64)


class _Length:
    """The length of a schedule piece in steps; converts durations to steps."""

    def __init__(self, steps_per_epoch: int, total: int):
        self.steps_per_epoch, self.total = steps_per_epoch, total

    def steps(self, key: str, duration: Duration, *, within: int | None = None) -> int:
        """Convert a duration to steps. Raises RecipeError unless it is at least 1 and less than `within`."""
        steps = duration.steps(self.steps_per_epoch, self.total)
        if steps < 1:
            raise RecipeError(f"{key} = '{duration}' is less than a step; make it longer")
        if within is not None and steps >= within:
            raise RecipeError(
                f"{key} = '{duration}' is {steps} steps of a training of {self.total}; make it shorter, as '5%'"
            )
        return steps


def _shape(spec: Plan, length: _Length) -> Shape:
    """Return warm-up and schedule of a piece that begins at step 0."""
    method = _read(spec)
    warmup = 0
    if spec.warmup.amount and isinstance(method, methods.OneCycle):
        raise RecipeError(f"optimizer.warmup = '{spec.warmup}' with one_cycle, which has its own; set it to '0 epochs'")
    if spec.warmup.steps(length.steps_per_epoch, length.total):
        warmup = length.steps("optimizer.warmup", spec.warmup, within=length.total)
    after = _SHAPES[type(method)](method, length, warmup)
    if not warmup:
        return after
    # Above 0 at step 0, which would be lost otherwise: it would change nothing but the momentum.
    return lambda step: keras.ops.where(step < warmup, (_real(step) + 1) / (warmup + 1), after(step))


def _flat(method, length: _Length, warmup: int) -> Shape:
    return _constant(1.0)


def _cosine(method: methods.Cosine, length: _Length, warmup: int) -> Shape:
    return lambda step: _down(step - warmup, length.total - warmup, method.floor)


def _one_cycle(method: methods.OneCycle, length: _Length, warmup: int) -> Shape:
    start = 1 / method.start_ratio
    # PyTorch counts the steps between the first and the last, and so does this.
    top, last = method.rise * length.total - 1, length.total - 1

    def shape(step):
        step = _real(step)
        up = _half_cosine(start, 1.0, step / max(top, 1e-9))
        down = _half_cosine(1.0, start / method.end_ratio, (step - top) / max(last - top, 1e-9))
        return keras.ops.where(step <= top, up, down)

    return shape


def _step(method: methods.Step, length: _Length, warmup: int) -> Shape:
    every = length.steps("optimizer.schedule's every", method.every, within=length.total)
    return lambda step: keras.ops.power(method.factor, _real(_count(step) // every))


def _multi_step(method: methods.MultiStep, length: _Length, warmup: int) -> Shape:
    milestones = [
        length.steps("a milestone of optimizer.schedule", milestone, within=length.total)
        for milestone in method.milestones
    ]
    if milestones != sorted(set(milestones)):
        raise RecipeError(f"optimizer.schedule's milestones are at steps {milestones}; each comes after the one before")
    passed = lambda step: sum(keras.ops.cast(step >= milestone, "float32") for milestone in milestones)  # noqa: E731
    return lambda step: keras.ops.power(method.factor, passed(step))


def _polynomial(method: methods.Polynomial, length: _Length, warmup: int) -> Shape:
    def shape(step):
        left = keras.ops.clip(_real(length.total - step) / (length.total - warmup), 0.0, 1.0)
        return method.floor + (1 - method.floor) * keras.ops.power(left, method.power)

    return shape


def _exponential(method: methods.Exponential, length: _Length, warmup: int) -> Shape:
    every = length.steps("optimizer.schedule's every", method.every)
    return lambda step: keras.ops.power(method.factor, _real(step - warmup) / every)


def _trapezoid(method: methods.Trapezoid, length: _Length, warmup: int) -> Shape:
    cooldown = length.steps("optimizer.schedule's cooldown", method.cooldown)
    if warmup + cooldown > length.total:
        raise RecipeError(
            f"a warm-up of {warmup} steps and a cooldown of {cooldown} do not fit into a training of {length.total}; "
            "make one of them shorter"
        )

    def shape(step):
        left = keras.ops.clip(_real(length.total - step) / cooldown, 0.0, 1.0)
        return method.floor + (1 - method.floor) * left

    return shape


def _warm_restarts(method: methods.WarmRestarts, length: _Length, warmup: int) -> Shape:
    first = length.steps("optimizer.schedule's first", method.first, within=length.total - warmup + 1)
    cycles, begin = [], warmup
    while begin < length.total:
        cycles.append((begin, round(first * method.growth ** len(cycles))))
        begin += cycles[-1][1]
    starts, lengths = zip(*cycles, strict=True)

    def shape(step):
        begins = tf.constant(starts, step.dtype)
        begun = tf.reduce_sum(tf.cast(step[..., tf.newaxis] >= begins, tf.int32), axis=-1)
        cycle = tf.maximum(begun - 1, 0)
        return _down(step - tf.gather(begins, cycle), tf.gather(tf.constant(lengths), cycle), method.floor)

    return shape


_SHAPES = {
    methods.Constant: _flat,
    methods.Cosine: _cosine,
    methods.OneCycle: _one_cycle,
    methods.Step: _step,
    methods.MultiStep: _multi_step,
    methods.Polynomial: _polynomial,
    methods.Exponential: _exponential,
    methods.Trapezoid: _trapezoid,
    methods.WarmRestarts: _warm_restarts,
    methods.Plateau: _flat,
}


def _down(step, steps, floor: float):
    """Cosine decay from 1 at step 0 to the floor at `steps` (Loshchilov & Hutter 2017, eq. 5)."""
    return _half_cosine(1.0, floor, _real(step) / _real(steps))


def _half_cosine(start, end, share):
    """Cosine interpolation from start (share 0) to end (share 1)."""
    share = keras.ops.clip(share, 0.0, 1.0)
    return end + (start - end) * (1 + keras.ops.cos(math.pi * share)) / 2

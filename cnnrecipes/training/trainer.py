"""The training loop: Keras' `fit` with checkpoints, history, best weights and loggers."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common import global_state  # no public way to the global generator

from cnnrecipes.errors import OutOfMemory, RunError
from cnnrecipes.optim.schedules import Schedule
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs import checkpoint
from cnnrecipes.training.callbacks.checkpoints import Saver
from cnnrecipes.training.callbacks.progress import ProgressDisplay
from cnnrecipes.training.callbacks.state import Best, EpochRecord, FiniteLoss, HistoryFile, Position, Validation
from cnnrecipes.training.callbacks.stopping import EarlyStopping, PlateauDrop, Signals, TimeBudget
from cnnrecipes.training.distributed.strategy import Placement
from cnnrecipes.training.preflight import is_disk_full
from cnnrecipes.training.train_model import Trainee
from cnnrecipes.training.xla import without_xla_where_it_fails

_KERAS_RANDOM = ("global_random_seed", "global_seed_generator")
EXECUTION = 0.2  # seconds of steps in one call: Python between calls is nothing beside it, and Ctrl-C still quick


@dataclass(frozen=True)
class Feed:
    """The training and validation batches of `data.input_pipeline`, with their sizes."""

    training: Callable[[int, int], tf.data.Dataset]  # (first step, last step) of the training
    steps_per_epoch: int
    images_per_step: int
    validation: tf.data.Dataset | None = None  # again and again
    validation_steps: int = 0
    validation_images: int = 0
    images_after: int = 0  # that are measured when the training is over


@dataclass
class Session:
    """The run folder, devices, messages and start checkpoint of a training.

    Attributes:
        folder: the run folder; None in workers other than the chief.
        facts: additional state of a checkpoint: recipe and data fingerprint.
        start: the checkpoint to resume from; None for a new training.
        how_to_go_on: the hint to resume, appended to the message of an interrupted training.
    """

    folder: Path | None
    placement: Placement
    started: float = field(default_factory=time.monotonic)
    progress: bool = True
    say: Callable[[str], None] = print
    facts: Mapping[str, Any] = field(default_factory=dict)
    start: checkpoint.Checkpoint | None = None
    loggers: Sequence[keras.callbacks.Callback] = ()
    how_to_go_on: str = "train again to go on"


@dataclass(frozen=True)
class Outcome:
    """The result of a training: the final or best weights, as the recipe selects, and their epoch.

    `last` is the digest of the weights after the last step, equal in all workers; only the chief has the best weights.
    """

    weights: list[np.ndarray]
    epoch: int
    history: list[dict[str, float]]
    last: str


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed all RNGs within the context; the global RNG states of Python, NumPy and Keras are restored afterwards.

    TensorFlow's global seed stays set.
    """
    states = random.getstate(), np.random.get_state()
    of_keras = {name: global_state.get_global_attribute(name) for name in _KERAS_RANDOM}
    keras.utils.set_random_seed(seed)
    # Before Keras 3.11 `set_random_seed` leaves a generator that exists already where it is.
    global_state.set_global_attribute("global_seed_generator", None)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        for name, value in of_keras.items():
            global_state.set_global_attribute(name, value)


def train(trainee: Trainee, schedule: Schedule, feed: Feed, whole: Recipe, session: Session) -> Outcome:
    """Train a compiled trainee as the recipe says.

    Raises:
        TrainingError: the loss became NaN or infinite.
        OutOfMemory: a device is out of memory.
        Interrupted: a signal was received; a checkpoint is written.
    """
    parts = _Parts(trainee, schedule, feed, whole, session)
    if session.start is not None:
        parts.restore(session.start)
    everything = _Throughout([*parts.in_order(), *session.loggers], add_history=True, model=trainee)
    everything.set_params({"epochs": whole.train.epochs, "steps": feed.steps_per_epoch, "verbose": 0})
    try:
        everything.begin()
        with parts.signals.caught(), _naming_memory(whole):
            without_xla_where_it_fails(
                lambda: _fit(trainee, feed, whole, session.placement, parts, everything), trainee, session.say
            )
            parts.saver.save()
    finally:
        everything.end()
        if parts.writer:
            parts.writer.finish()
    return parts.outcome()


def _fit(trainee, feed: Feed, whole: Recipe, placement: Placement, parts: _Parts, callbacks: _Throughout) -> None:
    """Train the first epoch with one step per execution to time it, then the others with many steps per execution."""
    position, epochs = parts.position, whole.train.epochs
    wanted = whole.devices.steps_per_execution
    trainee.steps = wanted or 1
    ends = [min(position.epoch + 1, epochs), epochs]
    for end in ends:
        if position.epoch >= end or parts.stopped:
            continue
        left = feed.steps_per_epoch - position.step
        trainee.fit(
            feed.training(position.total, end * feed.steps_per_epoch),
            initial_epoch=position.epoch,
            epochs=end,
            steps_per_epoch=-(-left // trainee.steps),
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )
        parts.stopped = trainee.stop_training
        if wanted is None and parts.timer.seconds:
            trainee.steps = round(
                placement.agree([max(min(EXECUTION / parts.timer.seconds, feed.steps_per_epoch), 1)])[0]
            )


class _Parts:
    """The callbacks of a training, connected to each other."""

    def __init__(self, trainee: Trainee, schedule: Schedule, feed: Feed, whole: Recipe, session: Session):
        spec, folder, place = whole.train, session.folder, session.placement
        self.trainee, self.spec, self.feed, self.session, self.schedule = trainee, spec, feed, session, schedule
        self.position = Position(feed.steps_per_epoch)
        self.writer = checkpoint.Writer(folder / "checkpoints", session.say) if folder else None
        self.signals = Signals(session.say)
        self.stopped, self.timer = False, _StepTimer()
        self.history = HistoryFile(folder / "history.csv" if folder else None)
        self.record = EpochRecord(self.position, feed.images_per_step, lambda: trainee.last_rate)
        best = folder / "checkpoints" / "best.npz" if folder else None
        self.best = Best(best, spec.monitor, self.kept_weights)
        self.patience = EarlyStopping(self.best, spec.early_stopping, session.say) if spec.early_stopping else None
        self.validation = None
        if feed.validation is not None:
            self.validation = Validation(feed.validation, feed.validation_steps, feed.images_per_step)
        self.drop = PlateauDrop(self.best, schedule) if schedule.plateau else None
        self.budget = None
        if spec.time_budget:
            self.budget = TimeBudget(
                self.position,
                schedule,
                spec.time_budget.seconds,
                session.started,
                feed,
                place.agree,
                self.validation,
                session.say,
            )
        remembering = ("position", "record", "history", "best", "patience", "drop", "budget")
        self.saver = Saver(
            self.writer,
            self.position,
            whole.logging.checkpoint_every,
            place,
            self.signals,
            parts={name: getattr(self, name) for name in remembering if getattr(self, name) is not None},
            facts=session.facts,
            total_steps=schedule.total_steps,
            how_to_go_on=session.how_to_go_on,
        )

    def in_order(self) -> list[keras.callbacks.Callback]:
        """Return the callbacks, each after those whose logs or decisions it reads."""
        total = self.spec.epochs * self.feed.steps_per_epoch
        guard = FiniteLoss(self.position, lambda step: float(self.schedule(step)), self._last_good)
        deadline = self.session.started + self.budget.seconds if self.budget else None
        display = [ProgressDisplay(self.position, total, deadline=deadline)] if self.session.progress else []
        changes = [part for part in (self.patience, self.drop, self.budget) if part is not None]
        measured = [self.validation] if self.validation else []
        records = [self.record, self.history, self.best]
        return [self.timer, self.position, guard, *measured, *records, *changes, *display, self.saver]

    def restore(self, start: checkpoint.Checkpoint) -> None:
        """Restore the training state from a checkpoint. Raises RunError if it does not match."""
        state = start.state["parts"]
        if state.keys() != self.saver.parts.keys():
            raise RunError(f"{str(start.path)!r} is of another kind of training: it remembers {', '.join(state)}")
        checkpoint.restore(start, self.trainee.state())
        for name, part in self.saver.parts.items():
            part.restore(state[name])
        self.stopped = any(part.ended for part in (self.patience, self.budget) if part is not None)
        # Keras resets the metrics at the start of an epoch, also on a mid-epoch resume.
        self.trainee.take_up(mid_epoch=self.position.step > 0)

    def kept_weights(self) -> list[np.ndarray]:
        """Return the evaluation weights: the model's, or their average."""
        return self.trainee.measured_weights()

    def outcome(self) -> Outcome:
        """Return the best or last weights, as the recipe selects; the last ones, with a message, if best.npz is bad."""
        weights = self.kept_weights()
        last = Outcome(weights, self.position.epoch, self.history.rows, checkpoint.digest(weights))
        if self.spec.artifact == "last" or self.best.epoch in (None, last.epoch) or self.best.path is None:
            return last
        try:
            found = checkpoint.read(self.best.path)
        except RunError as error:
            self.session.say(f"{error}; the last weights are kept instead")
            return last
        if found.state["epoch"] != self.best.epoch:
            # Written after the last checkpoint of a killed training, which the resume did not reproduce.
            self.session.say(
                f"{str(self.best.path)!r} is of epoch {found.state['epoch']}, the best is "
                f"{self.best.epoch}; the last weights are kept instead"
            )
            return last
        best = [found.arrays[name] for name in sorted(found.arrays)]
        return dataclasses.replace(last, weights=best, epoch=self.best.epoch)

    def _last_good(self) -> str:
        if self.writer:
            self.writer.finish()
            if paths := checkpoint.found(self.writer.folder):
                return (
                    f"The last good checkpoint is {str(paths[0])!r}; with it as train.start_from a new training "
                    "begins there, with other settings"
                )
        return "There is no checkpoint yet"


class _Throughout(keras.callbacks.CallbackList):
    """Callback list for a training of several `fit` calls: `on_train_begin` and `on_train_end` run once."""

    def begin(self) -> None:
        super().on_train_begin()

    def end(self) -> None:
        super().on_train_end()

    def on_train_begin(self, logs=None):
        pass

    def on_train_end(self, logs=None):
        pass


class _StepTimer(keras.callbacks.Callback):
    """Median seconds per execution; the first two are excluded, since they compile."""

    def __init__(self):
        super().__init__()
        self.durations: list[float] = []

    def on_train_batch_begin(self, batch, logs=None):
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if len(self.durations) < 100:
            self.durations.append(time.perf_counter() - self.start)

    @property
    def seconds(self) -> float | None:
        return statistics.median(self.durations[2:] or self.durations) if self.durations else None


@contextlib.contextmanager
def _naming_memory(whole: Recipe) -> Iterator[None]:
    """Convert TensorFlow's out-of-memory errors into OutOfMemory."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        if is_disk_full(error):
            raise
        raise OutOfMemory(
            f"out of memory with batches of {whole.data.batch_size} of {whole.model.name} ({_first_line(error)}); "
            f"set train.microbatches={2 * whole.train.microbatches} to compute each in more parts, "
            "devices.on_oom=halve to have that done, or a smaller data.batch_size"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]

"""`Trainer`: Keras' `fit` with checkpoints, history, best weights and loggers."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.errors import OutOfMemory, RunError
from cnnrecipes.runs import checkpoint
from cnnrecipes.runs.checkpoint import Checkpoint
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.train_state import TrainState
from cnnrecipes.runs.weights import BEST, read_weights
from cnnrecipes.training.callbacks.checkpoints import CheckpointSaver
from cnnrecipes.training.callbacks.epochs import (
    BestWeights,
    EpochMetrics,
    FiniteLoss,
    HistoryFile,
    NextEpoch,
    StepCounter,
    Validation,
)
from cnnrecipes.training.callbacks.progress import ProgressDisplay
from cnnrecipes.training.callbacks.stopping import EarlyStopping, ReduceOnPlateau, Signals, TimeBudget
from cnnrecipes.training.loggers import loggers
from cnnrecipes.training.preflight import is_disk_full
from cnnrecipes.training.seeding import seeded
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.training.xla import fit_without_xla_if_it_fails

EXECUTION_SECONDS = 0.2  # of steps per call: Python between calls costs nothing then, and Ctrl-C is still quick


@dataclass(frozen=True)
class Outcome:
    """The result of a training.

    Attributes:
        weights: the evaluation weights of the best or the last epoch, as the recipe selects; only the chief has the
            best ones.
        epoch: their epoch, from 1.
        state: the final state.
        last: digest of the weights after the last step, equal in all workers.
    """

    weights: list[np.ndarray]
    epoch: int
    state: TrainState
    last: str


class Trainer:
    """Trains a job in a run folder.

    Args:
        job: the training.
        run: the run folder, in which the chief writes.
        started: `time.monotonic()` from which a time budget counts; None: now.
        callbacks: additional callbacks, called after all others.
        progress: show progress.
        say: receives messages.
    """

    def __init__(
        self,
        job: TrainJob,
        run: Run,
        *,
        started: float | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        progress: bool = False,
        say: Callable[[str], None] = print,
    ):
        self.job, self.run, self.callbacks, self.progress, self.say = job, run, callbacks, progress, say
        self.started = time.monotonic() if started is None else started

    @property
    def folder(self) -> Path | None:
        """The run folder in the chief, which writes; None in other workers."""
        return self.run.folder if self.job.devices.is_chief else None

    def fit(self, start: Checkpoint | None = None) -> Outcome:
        """Train to the last epoch; with `devices.on_oom` = "halve", in smaller microbatches if memory runs out.

        Args:
            start: the checkpoint to continue from; None: start at step 0.

        Raises:
            TrainingError: the loss became NaN or infinite.
            OutOfMemory: a device is out of memory.
            Interrupted: a signal was received; a checkpoint is written.
        """
        while True:
            try:
                return self._fit(start)
            except OutOfMemory as error:
                self._halve_microbatches(error)
                start = checkpoint.newest(self.run.folder, self.say) or start

    def _fit(self, start: Checkpoint | None) -> Outcome:
        job, state = self.job, start.state if start else TrainState(self.job.pipeline.steps_per_epoch)
        if start:
            job.restore(start)
        writer = checkpoint.Writer(self.run.folder, self.say) if self.folder else None
        signals, timer = Signals(self.say), _StepTimer()
        saver = CheckpointSaver(
            state, writer, job.recipe.logging.checkpoint_every, job.total_steps, job.fingerprint, job.devices, signals
        )
        observers = [*self._measuring(state, writer), *self._stopping_and_progress(state), NextEpoch(state), saver]
        callbacks = _WholeTraining(
            [timer, *observers, *self._loggers(), *self.callbacks], add_history=True, model=job.model
        )
        callbacks.set_params({"epochs": job.recipe.train.epochs, "steps": state.steps_per_epoch, "verbose": 0})
        try:
            callbacks.begin()
            with signals.caught(), _naming_memory(job):
                fit_without_xla_if_it_fails(lambda: self._epochs(state, timer, callbacks), job.model, self.say)
                saver.save()
        finally:
            callbacks.end()
            if writer:
                writer.finish()
        return self._outcome(state)

    def _epochs(self, state: TrainState, timer: _StepTimer, callbacks: _WholeTraining) -> None:
        """Train the first epoch with one step per execution to time it, the others with many steps per execution."""
        job, epochs, wanted = self.job, self.job.recipe.train.epochs, self.job.recipe.devices.steps_per_execution
        model, per_epoch = job.model, state.steps_per_epoch
        model.steps = wanted or 1
        for end in (min(state.epoch + 1, epochs), epochs):
            if state.epoch >= end or state.stop_reason:
                continue
            model.fit(
                job.training_batches(state.total_steps, end * per_epoch),
                initial_epoch=state.epoch,
                epochs=end,
                steps_per_epoch=-(-(per_epoch - state.step) // model.steps),
                callbacks=callbacks,
                shuffle=False,
                verbose=0,
            )
            if wanted is None and timer.seconds:
                steps = max(min(EXECUTION_SECONDS / timer.seconds, per_epoch), 1)
                model.steps = round(job.devices.mean([steps])[0])

    def _measuring(self, state: TrainState, writer: checkpoint.Writer | None) -> list[keras.callbacks.Callback]:
        """Return the callbacks that measure and record, each after those whose logs it reads."""
        job, folder, images = self.job, self.folder, self.job.pipeline.images_per_step
        guard = FiniteLoss(state, lambda step: float(job.schedule(step)), lambda: _last_good(writer))
        self.validation = None
        if job.pipeline.images("validation"):
            steps = job.pipeline.evaluation_steps("validation", job.devices.count)
            self.validation = Validation(job.validation_batches(), steps, images)
        records = [
            EpochMetrics(state, images),
            HistoryFile(state, folder / "history.csv" if folder else None),
            BestWeights(state, folder / checkpoint.FOLDER / BEST if folder else None, job.recipe.train.monitor),
        ]
        return [StepCounter(state), guard, *filter(None, [self.validation]), *records]

    def _stopping_and_progress(self, state: TrainState) -> list[keras.callbacks.Callback]:
        """Return the callbacks that stop the training or change its rate, and the progress display."""
        job, train, chosen = self.job, self.job.recipe.train, []
        deadline = None
        if train.early_stopping:
            chosen.append(EarlyStopping(state, train.early_stopping, self.say))
        if job.schedule.plateau:
            chosen.append(ReduceOnPlateau(state, job.schedule, job.schedule.plateau.patience))
        if train.time_budget:
            pipeline = job.pipeline
            images = (pipeline.images_per_step, pipeline.images("validation"), pipeline.images("validation", "test"))
            budget = TimeBudget(
                state,
                job.schedule,
                train.time_budget.seconds,
                self.started,
                images,
                job.devices,
                self.validation,
                self.say,
            )
            chosen.append(budget)
            deadline = budget.deadline
        if self.progress:
            chosen.append(ProgressDisplay(state, train.epochs * state.steps_per_epoch, deadline=deadline))
        return chosen

    def _loggers(self) -> list[keras.callbacks.Callback]:
        if not self.folder:
            return []
        pipeline = self.job.pipeline
        return loggers(
            self.job.recipe, self.folder, first_batch=lambda: pipeline.batch(0), class_names=pipeline.class_names
        )

    def _outcome(self, state: TrainState) -> Outcome:
        """Return the best or last weights, as the recipe selects; the last ones, with a message, if best.npz is bad."""
        weights = self.job.model.measured_weights()
        last = Outcome(weights, state.epoch, state, checkpoint.digest(weights))
        if self.job.recipe.train.artifact == "last" or state.best_epoch in (None, state.epoch) or not self.folder:
            return last
        path = self.folder / checkpoint.FOLDER / BEST
        try:
            best, about = read_weights(path)
        except RunError as error:
            self.say(f"{error}; the last weights are kept instead")
            return last
        if about["epoch"] != state.best_epoch:
            # Written after the last checkpoint of a killed training, and not reproduced by the resume.
            self.say(
                f"{str(path)!r} has the weights of epoch {about['epoch']}, the best is {state.best_epoch}; the last "
                "weights are kept instead"
            )
            return last
        return replace(last, weights=best, epoch=state.best_epoch)

    def _halve_microbatches(self, error: OutOfMemory) -> None:
        """Build the job anew with twice as many microbatches, if the recipe allows it; else raise the error."""
        job, microbatches = self.job, 2 * self.job.microbatches
        divides = job.pipeline.images_per_step % (microbatches * job.devices.count) == 0
        if job.recipe.devices.on_oom != "halve" or not divides:
            raise error
        self.say(f"{error.args[0].partition(';')[0]}; going on with each batch in {microbatches} microbatches")
        with seeded(job.recipe.train.seed):
            self.job = job.with_microbatches(microbatches)


class _WholeTraining(keras.callbacks.CallbackList):
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


def _last_good(writer: checkpoint.Writer | None) -> str:
    """Return a sentence about the last checkpoint, for the error of a loss that is not finite."""
    if writer:
        writer.finish()
        if paths := checkpoint.found(writer.run):
            return (
                f"The last good checkpoint is {str(paths[0])!r}; with it as train.start_from a new training "
                "starts there, with other settings"
            )
    return "There is no checkpoint yet"


@contextlib.contextmanager
def _naming_memory(job: TrainJob) -> Iterator[None]:
    """Convert TensorFlow's out-of-memory errors into OutOfMemory."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        if is_disk_full(error):
            raise
        raise OutOfMemory(
            f"out of memory with batches of {job.recipe.data.batch_size} of {job.recipe.model.name} "
            f"({str(error).strip().splitlines()[0][:200]}); set train.microbatches={2 * job.microbatches} to compute "
            "each in more microbatches, devices.on_oom=halve to have that done, or a smaller data.batch_size"
        ) from None

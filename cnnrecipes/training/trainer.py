"""`Trainer`: Keras' `fit` with checkpoints, history, best weights and loggers."""

from __future__ import annotations

import contextlib
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
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.runs.weights import BEST, read_weights
from cnnrecipes.training.callbacks.callback_list import TrainingCallbacks
from cnnrecipes.training.preflight import is_disk_full
from cnnrecipes.training.seeding import seeded
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.training.xla_fallback import fit_without_xla_if_it_fails

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


MoreCallbacks = Callable[[TrainJob], Sequence[keras.callbacks.Callback]]  # the additional callbacks of a job
Finish = Callable[[Run, TrainJob, Outcome], None]  # writes the artifact and the metrics


class Trainer:
    """Trains a job, in a run folder or without writing files.

    Args:
        job: the training.
        run: the run folder, in which the chief writes; None: the best weights are kept in memory.
        started: `time.monotonic()` from which a time budget counts; None: now.
        callbacks: additional callbacks, called after all others.
        progress: show progress.
        say: receives messages.
    """

    def __init__(
        self,
        job: TrainJob,
        run: Run | None,
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
        """The run folder in the chief, which writes; None in other workers, and without a run."""
        return self.run.folder if self.run and self.job.devices.is_chief else None

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
                self._check_halving(error)
                self.say(f"{error.args[0].partition(';')[0]}; continuing with smaller microbatches")
            # Outside of the except clause: the error, whose traceback holds the model, is released.
            with seeded(self.job.recipe.train.seed):
                self.job.rebuild(2 * self.job.microbatches)
            self.say(f"each batch is computed in {self.job.microbatches} microbatches")
            start = (checkpoint.newest(self.run.folder, self.say) if self.run else None) or start

    def _fit(self, start: Checkpoint | None) -> Outcome:
        job, state = self.job, self.job.begin(start)
        callbacks = TrainingCallbacks(
            job, state, self.folder, started=self.started, more=self.callbacks, progress=self.progress, say=self.say
        )
        with callbacks.running(), naming_memory(job):
            if job.plan.starts_fitted and state.total_steps == 0:
                callbacks.measure_start()
            if job.plan.trains_by_steps:
                fit_without_xla_if_it_fails(lambda: self._epochs(state, callbacks), job.model, self.say)
            callbacks.saver.save()
        return self._outcome(state, callbacks.best_weights)

    def _epochs(self, state: TrainState, callbacks: TrainingCallbacks) -> None:
        """Train to the last epoch with `devices.steps_per_execution` steps per call of the training function.

        If it is not set, the first epoch has one step per call, and the time of a call determines the number for the
        other epochs.
        """
        job, epochs, wanted = self.job, self.job.recipe.train.epochs, self.job.recipe.devices.steps_per_execution
        state.steps_per_execution, state.seconds_per_execution = wanted or 1, None
        # Keras has one number of calls for all epochs: an epoch that is resumed in its middle has fewer.
        for end in (epochs,) if wanted and not state.step else (min(state.epoch + 1, epochs), epochs):
            if state.epoch >= end or state.stop_reason:
                continue
            job.model.fit(
                job.training_batches(state.total_steps, end * state.steps_per_epoch),
                initial_epoch=state.epoch,
                epochs=end,
                steps_per_epoch=-(-(state.steps_per_epoch - state.step) // state.steps_per_execution),
                callbacks=callbacks,
                shuffle=False,
                verbose=0,
            )
            if wanted is None and state.seconds_per_execution:
                steps = max(min(EXECUTION_SECONDS / state.seconds_per_execution, state.steps_per_epoch), 1)
                state.steps_per_execution = round(job.devices.mean([steps])[0])

    def _outcome(self, state: TrainState, in_memory: list[np.ndarray] | None) -> Outcome:
        """Return the best or the last weights, as the recipe selects.

        If best.npz is not usable, the last weights are returned, with a message.

        Args:
            state: at the end of the training.
            in_memory: the best weights of a training without a run.
        """
        weights = self.job.model.measured_weights()
        last = Outcome(weights, state.epoch, state, checkpoint.digest(weights))
        if self.job.recipe.train.artifact == "last" or state.best_epoch in (None, state.epoch):
            return last
        if self.run is None and in_memory is not None:
            return replace(last, weights=in_memory, epoch=state.best_epoch)
        if not self.folder:
            return last
        path = self.folder / checkpoint.FOLDER / BEST
        try:
            best, about = read_weights(path)
        except RunError as error:
            self.say(f"{error}; the last weights are used instead")
            return last
        if about["epoch"] != state.best_epoch:
            # Written after the last checkpoint of a killed training, and not reproduced by the resume.
            self.say(
                f"{str(path)!r} has the weights of epoch {about['epoch']}, the best is {state.best_epoch}; the last "
                "weights are used instead"
            )
            return last
        return replace(last, weights=best, epoch=state.best_epoch)

    def _check_halving(self, error: OutOfMemory) -> None:
        """Raise `error` unless the recipe allows smaller microbatches and the batch divides into them."""
        job = self.job
        divides = job.pipeline.images_per_step % (2 * job.microbatches * job.devices.count) == 0
        if job.recipe.devices.on_oom != "halve" or not divides:
            raise error


@contextlib.contextmanager
def naming_memory(job: TrainJob) -> Iterator[None]:
    """Convert TensorFlow's out-of-memory errors into OutOfMemory."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        if is_disk_full(error):
            raise
        raise OutOfMemory(
            f"out of memory with batches of {job.recipe.data.batch_size} of {job.recipe.model.name} "
            f"({str(error).strip().splitlines()[0][:200]}); set train.microbatches={2 * job.microbatches} to compute "
            "each in more microbatches, devices.on_oom=halve to do so automatically, or a smaller data.batch_size"
        ) from None

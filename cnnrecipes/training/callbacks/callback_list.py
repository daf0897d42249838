"""All callbacks of a training, in order."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from cnnrecipes.runs import checkpoint, watch_records
from cnnrecipes.runs.records import FAILURE
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.runs.watch_records import WatchFile
from cnnrecipes.runs.weights import BEST
from cnnrecipes.training.callbacks.checkpoints import CheckpointSaver
from cnnrecipes.training.callbacks.live_diagnosis import LiveDiagnosis
from cnnrecipes.training.callbacks.progress import ProgressDisplay
from cnnrecipes.training.callbacks.stopping import EarlyStopping, ReduceOnPlateau, Signals, TimeBudget
from cnnrecipes.training.callbacks.validation_and_history import (
    BestWeights,
    EpochMetrics,
    ExecutionTimer,
    FiniteLoss,
    HistoryFile,
    NextEpoch,
    Validation,
)
from cnnrecipes.training.callbacks.watch import SHARE, ObservedSteps, Watch
from cnnrecipes.training.loggers import loggers
from cnnrecipes.training.tensorboard_layer_summaries import WatchSummaries
from cnnrecipes.training.train_job import TrainJob


class TrainingCallbacks(keras.callbacks.CallbackList):
    """The callbacks of a training in calling order: each follows those whose results it reads.

    A training consists of several calls of Keras' `fit`; the callbacks' `on_train_begin` and `on_train_end` are called
    only once, by the context manager `running`.

    Args:
        job: the training.
        state: the progress of the training, shared by the callbacks.
        folder: the run folder; None in workers other than the chief, and in a training without one: they write nothing.
        started: `time.monotonic()` from which a time budget counts.
        more: additional callbacks, called after all others.
        progress: show progress.
        say: receives messages.

    Attributes:
        saver: writes checkpoints.
    """

    def __init__(
        self,
        job: TrainJob,
        state: TrainState,
        folder: Path | None,
        *,
        started: float,
        more: Sequence[keras.callbacks.Callback] = (),
        progress: bool = False,
        say: Callable[[str], None] = print,
    ):
        self._job, self._state, self._folder, self._started, self._say = job, state, folder, started, say
        self._writer = checkpoint.Writer(folder, say) if folder else None
        self._signals = Signals(say)
        self.saver, budget, self._validation = self._saver(), self._time_budget(), self._validation_callback()
        self._best = BestWeights(state, folder / checkpoint.FOLDER / BEST if folder else None, job.recipe.train.monitor)
        watch = self._watch()
        records = watch.file if isinstance(watch, Watch) else None
        found = [
            ExecutionTimer(state),
            watch,
            FiniteLoss(
                state,
                lambda step: float(job.schedule(step)),
                self._last_checkpoint,
                folder / FAILURE if folder else None,
            ),
            self._validation,
            EpochMetrics(state, job.pipeline.images_per_step),
            HistoryFile(state, folder / "history.csv" if folder else None),
            self._best,
            EarlyStopping(state, patience, say) if (patience := job.recipe.train.early_stopping) else None,
            ReduceOnPlateau(state, job.schedule, plateau.patience) if (plateau := job.schedule.plateau) else None,
            budget,
            ProgressDisplay(state, job.total_steps, deadline=budget and budget.deadline) if progress else None,
            LiveDiagnosis(job, state, say, records, folder) if progress else None,
            NextEpoch(state),
            self.saver,
            *self._loggers(),
            *more,
        ]
        super().__init__([one for one in found if one is not None], add_history=True, model=job.model)
        self.set_params({"epochs": job.recipe.train.epochs, "steps": state.steps_per_epoch, "verbose": 0})

    @property
    def best_weights(self) -> list[np.ndarray] | None:
        """The weights of the best epoch so far, if there is no folder for them."""
        return self._best.kept

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Call `on_train_begin` and `on_train_end` around the block; signals stop the training after a step."""
        if self._writer:
            self._writer.delete_leftovers()
        try:
            super().on_train_begin()
            with self._signals.caught():
                yield
        finally:
            super().on_train_end()
            if self._writer:
                self._writer.finish()

    def measure_start(self) -> None:
        """Measure the initial weights on the validation split; they are kept as those of epoch 0 if they stay best."""
        if self._validation is None:
            return
        logs: dict[str, float] = {}
        self._validation.on_epoch_end(-1, logs)
        self._best.on_epoch_end(-1, logs)
        self._say(f"before training: val_loss {logs['val_loss']:.4f}, val_accuracy {logs['val_accuracy']:.1%}")

    def on_train_begin(self, logs=None):
        """Ignore the start of one call of Keras' `fit`; `running` begins the training."""

    def on_train_end(self, logs=None):
        """Ignore the end of one call of Keras' `fit`; `running` ends the training, also after an error."""

    def _saver(self) -> CheckpointSaver:
        job, every = self._job, self._job.recipe.logging.checkpoint_every
        return CheckpointSaver(
            self._state, self._writer, every, job.total_steps, job.fingerprint, job.devices, self._signals
        )

    def _validation_callback(self) -> Validation | None:
        job = self._job
        if not job.pipeline.images("validation"):
            return None
        steps = job.pipeline.evaluation_steps("validation", job.devices.count)
        return Validation(self._state, job.validation_batches(), steps, job.pipeline.images_per_step)

    def _time_budget(self) -> TimeBudget | None:
        job, pipeline, budget = self._job, self._job.pipeline, self._job.recipe.train.time_budget
        if budget is None:
            return None
        images = (pipeline.images_per_step, pipeline.images("validation"), pipeline.images("validation", "test"))
        return TimeBudget(
            self._state, job.schedule, budget.seconds, self._started, images=images, devices=job.devices, say=self._say
        )

    def _watch(self) -> ObservedSteps | None:
        job, every = self._job, self._job.recipe.logging.watch
        if every == "off" or not job.plan.trains_by_steps:
            return None
        per_epoch = self._state.steps_per_epoch
        steps = per_epoch if isinstance(every, str) else max(every.steps(per_epoch, job.total_steps), 1)
        if not self._folder:
            return ObservedSteps(steps)
        budget = job.recipe.train.time_budget
        with_tensorboard = "tensorboard" in job.recipe.logging.loggers
        return Watch(
            self._state,
            job.pipeline,
            every=steps,
            file=WatchFile(self._folder / watch_records.FILE),
            share=SHARE if every == "auto" else None,
            total=job.total_steps,
            longest=budget.seconds if budget else math.inf,
            summaries=WatchSummaries(self._folder / "tensorboard" / "watch") if with_tensorboard else None,
            say=self._say,
        )

    def _loggers(self) -> Sequence[keras.callbacks.Callback]:
        if not self._folder:
            return ()
        pipeline = self._job.pipeline
        return loggers(
            self._job.recipe,
            self._folder,
            first_batch=lambda: pipeline.batch(0),
            class_names=pipeline.class_names,
        )

    def _last_checkpoint(self) -> str:
        """Return a sentence about the last checkpoint, for the error message of a non-finite loss."""
        if self._writer:
            self._writer.finish()
            if paths := checkpoint.found(self._writer.run):
                return (
                    f"The last good checkpoint is {str(paths[0])!r}; to start a new training with other settings "
                    "there, set train.start_from to it"
                )
        return "There is no checkpoint yet"

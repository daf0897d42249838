"""report.html during and at the end of a training."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cached_property

import keras
import numpy as np

from cnnrecipes._support.console import printable
from cnnrecipes.errors import one_line
from cnnrecipes.report.writing import (
    REPORT,
    planned_rates,
    write_page_after_training,
    write_page_during_training,
)
from cnnrecipes.runs.run import Run
from cnnrecipes.training.seeding import undisturbed_random_numbers
from cnnrecipes.training.train_job import TrainJob

SHARE = 0.01  # of the time, at most, that is spent on reports during the training
SHORT = 20.0  # seconds of a training whose report has nothing that takes seconds


class ReportPage(keras.callbacks.Callback):
    """Writes report.html after each epoch, in at most 1% of the time, and at the end. Must follow `HistoryFile`.

    An error of the report is told in one line, ends the reports of this training, and does not affect the training. In
    a training of less than 20 s the report has no Grad-CAM, no augmented batch and no search for copies.

    Args:
        job: the training.
        run: its folder, in which only the chief writes.
        say: receives messages.
        wanted: write reports as `logging.report` selects; False: none.
    """

    def __init__(self, job: TrainJob, run: Run, say: Callable[[str], None], *, wanted: bool = True):
        super().__init__()
        self.job, self.run, self.say = job, run, say
        self.when = job.recipe.logging.report if wanted and job.devices.is_chief else "off"
        self.started, self.not_before, self.failed = time.monotonic(), 0.0, False

    def set_model(self, model):
        """Keep no reference: after an out-of-memory error the model is released before a smaller one is built."""

    def on_epoch_end(self, epoch, logs=None):
        started = time.monotonic()
        if self.when != "epoch" or started < self.not_before or epoch + 1 >= self.job.recipe.train.epochs:
            return  # after the last epoch, `finish` follows
        with self._ending_on_errors():
            write_page_during_training(self.run, self._rates)
        ended = time.monotonic()
        self.not_before = ended + (ended - started) / SHARE

    def on_train_end(self, logs=None):
        """Write the report of a training that ends early, by an error or a signal; `finish` replaces it otherwise."""
        state = self.job.model.progress
        over = state is None or state.stop_reason or state.epoch >= self.job.recipe.train.epochs
        if self.when == "epoch" and not over:
            with self._ending_on_errors():
                write_page_after_training(self.run, None, self._rates, "the training did not end")

    def finish(self) -> None:
        """Write the report of the finished run, with predictions and pictures."""
        if self.when == "off":
            return
        short = time.monotonic() - self.started < SHORT
        left_out = f"the training took less than {SHORT:g} s"
        with self._ending_on_errors(), undisturbed_random_numbers():
            write_page_after_training(self.run, self.job.pipeline.source, self._rates, left_out if short else "")
            self.say(f"report: {printable(self.run.folder / REPORT)}")

    @cached_property
    def _rates(self) -> np.ndarray | None:
        return planned_rates(self.job.recipe, self.job.pipeline.steps_per_epoch)

    @contextlib.contextmanager
    def _ending_on_errors(self) -> Iterator[None]:
        """Context manager: an error in the block ends the reports with a message, and the training continues."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except Exception as error:  # the training is worth more than its report
            self.when = "off"
            self.say(f"{REPORT} cannot be written ({one_line(error)[:300]}); the training is not affected")

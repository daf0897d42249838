"""The callback that writes checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable

import keras

from cnnrecipes.errors import Interrupted
from cnnrecipes.runs import checkpoint
from cnnrecipes.runs.checkpoint import Fingerprint
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.syntax.duration import Duration, TimeSpan
from cnnrecipes.training.callbacks.stopping import Signals
from cnnrecipes.training.distributed.devices import Devices


class CheckpointSaver(keras.callbacks.Callback):
    """Writes a checkpoint at intervals and, with all workers, when a signal is received. Must follow `NextEpoch`.

    Args:
        writer: writes the files; None in workers other than the chief.
        every: the interval, in time, steps or epochs.
        total_steps: steps of the whole training, for an interval in percent.
        fingerprint: of the training.
        devices: the workers, all of which save at the same step.
        signals: the signals received so far.
    """

    def __init__(
        self,
        state: TrainState,
        writer: checkpoint.Writer | None,
        every: TimeSpan | Duration,
        total_steps: int,
        fingerprint: Fingerprint,
        devices: Devices,
        signals: Signals,
    ):
        super().__init__()
        self.state, self.writer, self.fingerprint = state, writer, fingerprint
        self.devices, self.signals = devices, signals
        self._due: Callable[[], bool]
        if isinstance(every, TimeSpan):
            self._due = lambda: time.monotonic() - self._last_time >= every.seconds
        else:
            steps = max(every.steps(state.steps_per_epoch, total_steps), 1)
            self._due = lambda: self.state.total_steps // steps > self._last_step // steps
        self._last_time, self._last_step = time.monotonic(), 0

    def on_train_begin(self, logs=None):
        self._last_time, self._last_step = time.monotonic(), self.state.total_steps

    def on_train_batch_end(self, batch, logs=None):
        if self.state.step < self.state.steps_per_epoch:
            self._save_if_due()

    def on_epoch_end(self, epoch, logs=None):
        self._save_if_due()

    def _save_if_due(self) -> None:
        due, stop = self.devices.any(self._due(), self.signals.received is not None)
        if due or stop:
            self.save()
        if stop:
            if self.writer:
                self.writer.finish()
            raise Interrupted(
                f"stopped by {self.signals.received or 'a signal to another worker'} after step {self.state.step} "
                f"of epoch {self.state.epoch + 1}"
            )

    def save(self) -> None:
        """Write a checkpoint. All workers must call it: some variables are read as sums over the workers."""
        arrays = checkpoint.capture(self.model.checkpoint_variables())
        self._last_time, self._last_step = time.monotonic(), self.state.total_steps
        if self.writer is not None:
            self.writer.write(arrays, self.state, self.fingerprint)

"""Callbacks of steps and epochs: validation, metrics of an epoch, history.csv, best weights, finite loss.

All of them share one `TrainState`.
"""

from __future__ import annotations

import contextlib
import json
import math
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from cnnrecipes._support.atomic_files import write_text, write_whole
from cnnrecipes.data.batching import EVALUATION_BATCH
from cnnrecipes.errors import NonFinite, WriteError
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.runs.weights import write_weights


class NextEpoch(keras.callbacks.Callback):
    """Advances the training state to the next epoch; must follow all callbacks that read the ended epoch."""

    def __init__(self, state: TrainState):
        super().__init__()
        self.state = state

    def on_epoch_end(self, epoch, logs=None):
        self.state.next_epoch()


class Validation(keras.callbacks.Callback):
    """Measures the validation split at the end of an epoch and adds val_loss and val_accuracy to the logs.

    Keras' own validation creates an iterator each time, which takes 0.1 s, and does not work with several workers.

    Args:
        state: receives the seconds of the validation.
        batches: of the validation split, repeated.
        steps: batches of one validation.
        images_per_step: images of a training step; as many validation batches as take equally long are one call.
    """

    def __init__(self, state: TrainState, batches: tf.data.Dataset, steps: int, images_per_step: int):
        super().__init__()
        self.state, self.batches, self.steps, self.images_per_step = state, batches, steps, images_per_step
        self.iterator: Iterator | None = None

    def on_epoch_end(self, epoch, logs=None):
        start = time.monotonic()
        self.iterator = self.iterator or iter(self.batches)
        self.model.make_test_function()
        self.model.reset_metrics()
        with self.model.measured():
            # A training step takes three times as long as a forward pass of its images.
            at_once = max(3 * self.state.steps_per_execution * self.images_per_step // EVALUATION_BATCH, 1)
            for first in range(0, self.steps, at_once):
                found = self.model.test_function(self.iterator, tf.constant(min(at_once, self.steps - first)))
        logs.update({f"val_{name}": float(value) for name, value in found.items()})
        self.state.validation_seconds = time.monotonic() - start


class ExecutionTimer(keras.callbacks.Callback):
    """Measures the median seconds per execution; the first two are excluded, since they compile."""

    def __init__(self, state: TrainState):
        super().__init__()
        self.state = state
        self.durations: list[float] = []

    def on_train_batch_begin(self, batch, logs=None):
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if len(self.durations) < 100:
            self.durations.append(time.perf_counter() - self.start)
            self.state.seconds_per_execution = statistics.median(self.durations[2:] or self.durations)


class FiniteLoss(keras.callbacks.Callback):
    """Raises NonFinite if the loss is NaN or infinite, naming the step and likely causes.

    Args:
        learning_rate: function from a step to its learning rate.
        last_good: function that returns a sentence about the last checkpoint.
        record: file that receives the step, for a diagnosis of the run; None: it is not recorded.
    """

    def __init__(
        self,
        state: TrainState,
        learning_rate: Callable[[int], float],
        last_good: Callable[[], str],
        record: Path | None = None,
    ):
        super().__init__()
        self.state, self.learning_rate, self.last_good, self.record = state, learning_rate, last_good, record

    def on_train_begin(self, logs=None):
        if self.record is not None:
            self.record.unlink(missing_ok=True)  # of the training before it was resumed

    def on_train_batch_end(self, batch, logs=None):
        # The mean of the epoch so far shows it, and is read anyway.
        if math.isfinite(float(logs["loss"])):
            return
        # A worker knows the step of its own shard of the batch only.
        step = self.model.lost_step if self.model.lost_step is not None else self.state.total_steps - 1
        epoch, step_in_epoch = divmod(step, self.state.steps_per_epoch)
        rate = self.learning_rate(step)
        if self.record is not None:
            found = {"epoch": epoch + 1, "step": step + 1, "loss": str(float(logs["loss"])), "learning_rate": rate}
            with contextlib.suppress(WriteError):  # the error below matters more
                write_text(self.record, json.dumps(found, indent=2))
        causes = [
            f"the learning rate, {rate:.3g} at that step: try a tenth of optimizer.learning_rate, or a longer "
            "optimizer.warmup"
        ]
        if self.model.inner.compute_dtype == "float16":
            causes.append("float16, whose largest number is 65,504: try train.precision=bfloat16 or float32")
        causes.append("exploding gradients: try optimizer.clip_norm=1")
        raise NonFinite(
            f"the loss is {float(logs['loss'])} since step {step_in_epoch + 1} of epoch {epoch + 1} (step {step + 1} "
            f"of the training). Likely causes: {'; '.join(causes)}. {self.last_good()}"
        )


class EpochMetrics(keras.callbacks.Callback):
    """Adds learning rate, seconds, images/s of the training steps and peak memory to the logs of an epoch."""

    def __init__(self, state: TrainState, images_per_step: int):
        super().__init__()
        self.state, self.images_per_step = state, images_per_step

    def on_epoch_begin(self, epoch, logs=None):
        # Of an epoch that is resumed, the steps before count too.
        self.start = time.perf_counter() - self.state.epoch_seconds

    def on_train_batch_end(self, batch, logs=None):
        self.state.epoch_seconds = time.perf_counter() - self.start

    def on_epoch_end(self, epoch, logs=None):
        logs["learning_rate"] = self.model.last_rate
        logs["seconds"] = time.perf_counter() - self.start
        logs["images_per_second"] = self.state.step * self.images_per_step / max(self.state.epoch_seconds, 1e-9)
        logs["memory_mib"] = peak_memory() / 2**20


class HistoryFile(keras.callbacks.Callback):
    """Writes history.csv atomically, one row per epoch."""

    def __init__(self, state: TrainState, path: Path | None):
        super().__init__()
        self.state, self.path = state, path

    def on_train_begin(self, logs=None):
        if self.state.history:
            self._write()

    def on_epoch_end(self, epoch, logs=None):
        self.state.history.append({"epoch": epoch + 1, **{key: float(value) for key, value in logs.items()}})
        self._write()

    def _write(self) -> None:
        if self.path is not None:
            table = pd.DataFrame(self.state.history)
            write_whole(self.path, lambda beside: table.to_csv(beside, index=False))


class BestWeights(keras.callbacks.Callback):
    """Writes the evaluation weights of the epoch with the best validation so far, or keeps them in memory.

    Args:
        path: the weight file; None: they are kept in `kept`.
        monitor: "accuracy", and the loss where it is equal, or "loss".
    """

    def __init__(self, state: TrainState, path: Path | None, monitor: str):
        super().__init__()
        self.state, self.path, self.monitor = state, path, monitor
        self.kept: list[np.ndarray] | None = None

    def on_epoch_end(self, epoch, logs=None):
        score = self._score(epoch, logs)
        if self.state.best_score is not None and score <= self.state.best_score:
            self.state.epochs_without_improvement += 1
            self.state.epochs_at_this_rate += 1
            return
        self.state.best_epoch, self.state.best_score = epoch + 1, score
        self.state.epochs_without_improvement = self.state.epochs_at_this_rate = 0
        weights = self.model.measured_weights()
        if self.path is None:
            self.kept = weights
        else:
            write_weights(self.path, weights, epoch=epoch + 1)

    def _score(self, epoch: int, logs: dict[str, float]) -> list[float]:
        """Return the score of an epoch, compared entry by entry, larger is better; the epoch without a validation."""
        if "val_loss" not in logs:
            return [float(epoch)]
        loss, accuracy = (float(logs[key]) for key in ("val_loss", "val_accuracy"))
        return [accuracy, -loss] if self.monitor == "accuracy" else [-loss]


def peak_memory() -> int:
    """Return the peak memory in bytes of the first GPU, or of the process if there is none."""
    if tf.config.list_logical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024

"""Callbacks for the position in the training, the history, the best weights and the NaN check.

Those that remember something have `state()`, JSON values for a checkpoint, and `restore(state)`.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from cnnrecipes._support.atomic_files import write_whole
from cnnrecipes.data.input_pipeline import EVALUATION_BATCH
from cnnrecipes.errors import TrainingError
from cnnrecipes.runs import checkpoint


class Position(keras.callbacks.Callback):
    """Position in the training: `epoch`, from 0, and `step`, completed steps. Must be the first callback."""

    def __init__(self, steps_per_epoch: int):
        super().__init__()
        self.steps_per_epoch = steps_per_epoch
        self.epoch = self.step = 0

    @property
    def total(self) -> int:
        """Steps done since the start of the training."""
        return self.epoch * self.steps_per_epoch + self.step

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.model.left_in_epoch = self.steps_per_epoch - self.step

    def on_train_batch_end(self, batch, logs=None):
        self.step = self.steps_per_epoch - self.model.left_in_epoch

    def end_epoch(self) -> None:
        """The next epoch's start is where the training is now."""
        self.epoch, self.step = self.epoch + 1, 0

    def state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "step": self.step}

    def restore(self, state: dict[str, Any]) -> None:
        self.epoch, self.step = state["epoch"], state["step"]


class Validation(keras.callbacks.Callback):
    """Measures the validation split when an epoch ends, and adds what it finds to the logs, as `fit` would.

    Keras' own takes a new iterator each time, which costs 0.1 s; and it cannot measure with many workers.

    Args:
        batches: of the split, again and again.
        steps: batches of one validation.
        images_per_step: of training, to tell how much of a validation takes as long as a call of training steps.
    """

    def __init__(self, batches: tf.data.Dataset, steps: int, images_per_step: int):
        super().__init__()
        self.batches, self.steps, self.images_per_step = batches, steps, images_per_step
        self.iterator, self.seconds = None, None

    def on_epoch_end(self, epoch, logs=None):
        start = time.monotonic()
        self.iterator = self.iterator or iter(self.batches)
        self.model.make_test_function()
        self.model.reset_metrics()
        with self.model.measured():
            # A training step takes three times as long as a forward pass of its images.
            at_once = max(3 * self.model.steps * self.images_per_step // EVALUATION_BATCH, 1)
            for first in range(0, self.steps, at_once):
                found = self.model.test_function(self.iterator, tf.constant(min(at_once, self.steps - first)))
        logs.update({f"val_{name}": float(value) for name, value in found.items()})
        self.seconds = time.monotonic() - start


class FiniteLoss(keras.callbacks.Callback):
    """Stops a training whose loss is no number any more, naming the step and the likely causes."""

    def __init__(self, position: Position, learning_rate: Callable[[int], float], kept: Callable[[], str]):
        super().__init__()
        self.position, self.learning_rate, self.kept = position, learning_rate, kept

    def on_train_batch_end(self, batch, logs=None):
        # The mean of the epoch so far shows it, and is read anyway.
        if math.isfinite(float(logs["loss"])):
            return
        # A worker knows the step of its own part of the batch only.
        step = self.model.lost_step if self.model.lost_step is not None else self.position.total - 1
        epoch, step_in_epoch = divmod(step, self.position.steps_per_epoch)
        rate = self.learning_rate(step)
        causes = [
            f"the learning rate, {rate:.3g} there: try a tenth of optimizer.learning_rate, or a longer optimizer.warmup"
        ]
        if self.model.inner.compute_dtype == "float16":
            causes.append("float16, whose largest number is 65,504: try train.precision=bfloat16 or float32")
        causes.append("a gradient that explodes: try optimizer.clip_norm=1")
        raise TrainingError(
            f"the loss is {float(logs['loss'])} since step {step_in_epoch + 1} of epoch {epoch + 1} (step {step + 1} "
            f"of the training). Likely causes: {'; '.join(causes)}. {self.kept()}"
        )


class EpochRecord(keras.callbacks.Callback):
    """Completes each epoch's logs: learning rate, seconds, images/s of the training steps, memory.

    rate: gives the learning rate of the last step, which is the one that an epoch's row has.
    """

    def __init__(self, position: Position, images_per_step: int, rate: Callable[[], float]):
        super().__init__()
        self.position, self.images_per_step, self.rate = position, images_per_step, rate
        self.before = 0.0  # seconds of this epoch's steps before a resume

    def on_epoch_begin(self, epoch, logs=None):
        self.start = self.last = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.last = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        steps_seconds = self.before + self.last - self.start
        logs["learning_rate"] = self.rate()
        logs["seconds"] = self.before + time.perf_counter() - self.start
        logs["images_per_second"] = self.position.step * self.images_per_step / max(steps_seconds, 1e-9)
        logs["memory_mib"] = peak_memory() / 2**20
        self.before = 0.0

    def state(self) -> dict[str, Any]:
        at_a_boundary = self.position.step == 0
        return {"seconds": 0.0 if at_a_boundary else self.before + self.last - self.start}

    def restore(self, state: dict[str, Any]) -> None:
        self.before = state["seconds"]


class HistoryFile(keras.callbacks.Callback):
    """history.csv, one row an epoch, whole at any time."""

    def __init__(self, path: Path | None):
        super().__init__()
        self.path, self.rows = path, []

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({"epoch": epoch + 1, **{key: float(value) for key, value in logs.items()}})
        self._write()

    def _write(self) -> None:
        if self.path is not None:
            table = pd.DataFrame(self.rows)
            write_whole(self.path, lambda beside: table.to_csv(beside, index=False))

    def state(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def restore(self, state: dict[str, Any]) -> None:
        self.rows = list(state["rows"])
        if self.rows:
            self._write()


class Best(keras.callbacks.Callback):
    """The epoch with the best validation so far, and its weights in best.npz."""

    def __init__(self, path: Path | None, monitor: str, weights: Callable[[], list[np.ndarray]]):
        super().__init__()
        self.path, self.monitor, self.weights = path, monitor, weights
        self.epoch, self.score = None, None
        self.improved = False

    def on_epoch_end(self, epoch, logs=None):
        score = self._score(epoch, logs)
        self.improved = self.score is None or score > self.score
        if self.improved:
            self.epoch, self.score = epoch + 1, score
            if self.path is not None:
                arrays = {f"weights/{number:05d}": array for number, array in enumerate(self.weights())}
                checkpoint.write(self.path, arrays, {"epoch": self.epoch})

    def _score(self, epoch: int, logs: dict[str, float]) -> list[float]:
        """Larger is better, entry by entry; without a validation the last epoch is the best."""
        if "val_loss" not in logs:
            return [float(epoch)]
        loss, accuracy = (float(logs[key]) for key in ("val_loss", "val_accuracy"))
        return [accuracy, -loss] if self.monitor == "accuracy" else [-loss]

    def state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "score": self.score}

    def restore(self, state: dict[str, Any]) -> None:
        self.epoch, self.score = state["epoch"], state["score"]


def peak_memory() -> int:
    """Bytes: the most that the first GPU has held, or, without one, the process."""
    if tf.config.list_logical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024

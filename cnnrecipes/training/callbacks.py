"""What happens beside the steps: history, checkpoints, guards."""

from __future__ import annotations

import math
import time
from pathlib import Path

import keras
import pandas as pd

from cnnrecipes.errors import TrainingError
from cnnrecipes.files import write_whole


class EpochRecord(keras.callbacks.Callback):
    """Completes each epoch's logs: learning rate, seconds, images/s of the training steps; guards against NaN.

    Put it first: the callbacks after it see the same dictionary.
    """

    def __init__(self, images_per_step: int):
        super().__init__()
        self.images_per_step = images_per_step

    def on_epoch_begin(self, epoch, logs=None):
        self.start, self.steps = time.perf_counter(), 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps, self.last = batch + 1, time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        # The objective of the validation counts what fills up its last batch; the metric beside it does not.
        for prefix in ("", "val_"):
            cross_entropy = logs.pop(f"{prefix}cross_entropy", None)
            if prefix and cross_entropy is not None:
                logs["val_loss"] = cross_entropy
        if not math.isfinite(logs["loss"]):
            raise TrainingError(
                f"the loss is {logs['loss']} in epoch {epoch + 1}; "
                "try a tenth of train.learning_rate, or a longer train.warmup"
            )
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        logs["seconds"] = time.perf_counter() - self.start
        logs["images_per_second"] = self.steps * self.images_per_step / (self.last - self.start)


class HistoryFile(keras.callbacks.Callback):
    """history.csv, one row an epoch, whole at any time."""

    def __init__(self, path: Path):
        super().__init__()
        self.path, self.rows = path, []

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({"epoch": epoch + 1, **logs})
        table = pd.DataFrame(self.rows)
        write_whole(self.path, lambda beside: table.to_csv(beside, index=False))


class Checkpoints(keras.callbacks.Callback):
    """last.weights.h5 after every epoch, and best.weights.h5: highest validation accuracy, then lowest loss."""

    def __init__(self, folder: Path):
        super().__init__()
        self.last, self.best = folder / "last.weights.h5", folder / "best.weights.h5"
        self.best_epoch, self._best_score = None, (-math.inf, -math.inf)

    def on_epoch_end(self, epoch, logs=None):
        write_whole(self.last, self.model.save_weights)
        score = (logs["val_accuracy"], -logs["val_loss"]) if "val_loss" in logs else (epoch, 0.0)
        if score > self._best_score:
            self.best_epoch, self._best_score = epoch + 1, score
            write_whole(self.best, self.model.save_weights)

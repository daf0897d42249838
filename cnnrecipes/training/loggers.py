"""Loggers beside history.csv: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

import importlib.util
import json
import re
import secrets
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg

from cnnrecipes._support.atomic_files import write_whole
from cnnrecipes.errors import RunError, TrainingError, one_line
from cnnrecipes.figures import Picture, label_lines
from cnnrecipes.recipe import schema
from cnnrecipes.recipe.keys_and_defaults import LoggerName

PROJECT = "cnnrecipes"  # W&B's project, MLflow's experiment
_MOST_IMAGES = 16
_PARAMETERS_A_CALL, _CHARACTERS = 100, 500  # of MLflow; some of its stores take more

FirstBatch = Callable[[], tuple[np.ndarray, np.ndarray]]


def check(spec: schema.Logging) -> None:
    """Raise TrainingError if the package of a logger of the recipe is not installed."""
    for name in spec.loggers:
        found = importlib.util.find_spec(name)
        # W&B leaves a folder "wandb" where it ran, which Python finds as a package without a file.
        if found is None or found.origin is None:
            raise TrainingError(
                f"logging.loggers has {name!r}, which is not installed; `pip install {name}`, or leave it out"
            )


def loggers(
    whole: schema.Recipe, folder: Path, *, first_batch: FirstBatch | None = None, class_names: Sequence[str] = ()
) -> list[Logger]:
    """Return the recipe's loggers as callbacks, which must follow `EpochMetrics` and `Validation`.

    A step is an epoch, from 1, as in history.csv. Call `close` after an error, when Keras ends no callbacks.

    Args:
        folder: the run folder; a training that is resumed in it continues the same runs of W&B and MLflow.
        first_batch: gives the first training batch after augmentation, images (N, H, W, C), uint8 0..255, and one-hot
            or soft labels (N, classes), for a picture; called when the first epoch begins.
        class_names: in label order, for the picture.
    """
    kinds: dict[LoggerName, Callable[[], Logger]] = {
        "tensorboard": lambda: TensorBoardLogger(whole, folder, first_batch, class_names),
        "wandb": lambda: WandbLogger(whole, folder),
        "mlflow": lambda: MlflowLogger(whole, folder),
    }
    return [kinds[name]() for name in dict.fromkeys(whole.logging.loggers)]


def flat(whole: schema.Recipe) -> dict[str, bool | int | float | str]:
    """Return a recipe as a flat dict of dotted keys to values, lists as strings; unset keys are omitted."""
    values: dict[str, Any] = {}
    for name, table in whole.to_dict().items():
        inside = {f"{name}.{key}": value for key, value in table.items()} if isinstance(table, dict) else {name: table}
        values |= inside
    return {key: ", ".join(map(str, value)) if isinstance(value, list) else value for key, value in values.items()}


class Logger(keras.callbacks.Callback):
    """Base class of loggers, opened at the start of training and closed at its end, after an error, or by `close`."""

    is_open = False

    def on_train_begin(self, logs=None):
        self.before = sys.exc_info()[1]  # a training may be begun in somebody's `except`
        self.open()
        self.is_open = True

    def on_epoch_end(self, epoch, logs=None):
        self.log(epoch + 1, {name: float(value) for name, value in logs.items()})

    def on_train_end(self, logs=None):
        self.close(failed=sys.exc_info()[1] is not self.before)

    def close(self, *, failed: bool = True) -> None:
        """Close the log if it is open."""
        if self.is_open:
            self.is_open = False
            self.end(failed)

    def open(self) -> None:
        """Open the log; the log of a resumed run is continued."""
        raise NotImplementedError

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Write the values of an epoch, from 1."""
        raise NotImplementedError

    def end(self, failed: bool) -> None:
        """Close the log; `failed`: the training ended with an error."""
        raise NotImplementedError


class TensorBoardLogger(Logger):
    """Scalars under the tags of Keras' callback, a picture of the first batch, and the recipe for the HParams page.

    Keras' TensorBoard callback counts epochs from 0, works at every step, and includes padding in the validation loss.
    """

    def __init__(
        self, whole: schema.Recipe, folder: Path, first_batch: FirstBatch | None = None, class_names: Sequence[str] = ()
    ):
        super().__init__()
        self.whole, self.folder = whole, folder / "tensorboard"
        self.first_batch, self.class_names = first_batch, class_names

    def open(self):
        from tensorboard.plugins.hparams import api

        # A resumed training has new files in the same folders: TensorBoard reads them as one.
        self.writers = {
            name: tf.summary.create_file_writer(str(self.folder / name)) for name in (".", "train", "validation")
        }
        metrics = [
            api.Metric(f"epoch_{name}", group="validation", display_name=f"val_{name}") for name in ("accuracy", "loss")
        ]
        with self.writers["."].as_default():
            # All keys of any recipe, since the page takes its columns from one run of those that it shows.
            api.hparams_config(hparams=[api.HParam(key) for key in schema.all_keys()], metrics=metrics)
            api.hparams(flat(self.whole))

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 0 and self.first_batch is not None:
            picture = batch_picture(*self.first_batch(), self.class_names)
            with self.writers["train"].as_default():
                tf.summary.image("first_batch", picture[None], step=0)

    def log(self, epoch, values):
        for name, value in values.items():
            writer = self.writers["validation" if name.startswith("val_") else "train"]
            with writer.as_default():
                tf.summary.scalar(f"epoch_{name.removeprefix('val_')}", value, step=epoch)
        for writer in self.writers.values():
            writer.flush()

    def end(self, failed):
        from tensorboard.plugins.hparams import api_pb2, summary

        status = summary.session_end_pb(api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS)
        with self.writers["."].as_default():
            tf.summary.experimental.write_raw_pb(status.SerializeToString(), step=0)
        for writer in self.writers.values():
            writer.close()


class WandbLogger(Logger):
    """A run of W&B, with the recipe as its configuration; `WANDB_MODE=offline` stores the run in the run folder."""

    def __init__(self, whole: schema.Recipe, folder: Path):
        super().__init__()
        self.whole, self.folder = whole, folder

    def open(self):
        import wandb

        stem = re.sub("[^A-Za-z0-9_-]", "-", self.folder.name)[:40]
        # Folders of the same name may be anywhere, and W&B would take their runs for one.
        number = remembered(self.folder, "wandb", lambda: f"{stem}-{secrets.token_hex(4)}")
        try:
            self.run = wandb.init(
                project=PROJECT,
                name=self.folder.name,
                id=number,
                resume="allow",
                dir=str(self.folder),
                config=self.whole.to_dict(),
            )
        except wandb.Error as error:
            raise TrainingError(f"W&B cannot start ({error}); `wandb login`, or set WANDB_MODE=offline") from None

    def log(self, epoch, values):
        self.run.log(dict(values), step=epoch)

    def end(self, failed):
        self.run.finish(exit_code=int(failed))


class MlflowLogger(Logger):
    """A run of MLflow at the server or folder `MLFLOW_TRACKING_URI`, with the recipe as its parameters."""

    def __init__(self, whole: schema.Recipe, folder: Path):
        super().__init__()
        self.whole, self.folder = whole, folder

    def open(self):
        import mlflow

        number = remembered(self.folder, "mlflow")
        try:
            mlflow.set_experiment(PROJECT)
            run = mlflow.start_run(run_id=number, run_name=None if number else self.folder.name)
        except mlflow.MlflowException as error:
            raise TrainingError(f"MLflow cannot start ({error}); check MLFLOW_TRACKING_URI") from None
        remembered(self.folder, "mlflow", lambda: run.info.run_id)
        items = [(key, str(value)[:_CHARACTERS]) for key, value in flat(self.whole).items() if value != ""]
        # MLflow's parameters never change: a resumed training has them already.
        for start in range(0, 0 if number else len(items), _PARAMETERS_A_CALL):
            self._send(mlflow.log_params, dict(items[start : start + _PARAMETERS_A_CALL]))

    def log(self, epoch, values):
        import mlflow

        self._send(mlflow.log_metrics, dict(values), step=epoch)

    def _send(self, call: Callable, *args: Any, **kwargs: Any) -> None:
        """Call the MLflow API; an error becomes a warning, since history.csv has the values and training must go on."""
        import mlflow

        try:
            call(*args, **kwargs)
        except mlflow.MlflowException as error:
            warnings.warn(f"MLflow did not record some values of {self.folder.name}: {error}", stacklevel=2)

    def end(self, failed):
        import mlflow

        mlflow.end_run("FAILED" if failed else "FINISHED")


def remembered(folder: Path, name: str, make: Callable[[], str] | None = None) -> str | None:
    """Return the run id of a logger from the run folder's loggers.json; if missing, store the result of `make`.

    Raises:
        RunError: the file is damaged; a new id would split the log, and a wrong one would continue another run.
    """
    path = folder / "loggers.json"
    try:
        ids = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if not isinstance(ids, dict) or not all(isinstance(value, str) for value in ids.values()):
            raise ValueError("it is not a JSON object of logger names and run ids")
    except (ValueError, OSError) as error:
        raise RunError(
            f"cannot read {str(path)!r} ({one_line(error)}); delete it, and the loggers start a new run"
        ) from None
    if name not in ids and make is not None:
        ids[name] = make()
        write_whole(path, lambda beside: beside.write_text(json.dumps(ids, indent=2), encoding="utf-8"))
    return ids.get(name)


def batch_picture(images: np.ndarray, labels: np.ndarray, class_names: Sequence[str] = ()) -> np.ndarray:
    """Draw the first images of a batch, at most 16, with their labels, in rows of four: (H', W', 3) uint8.

    Args:
        images: (N, H, W, C) uint8, C 1 or 3. labels: (N, classes), one-hot or soft.
        class_names: in label order; (): class numbers are shown.
    """
    images, labels = images[:_MOST_IMAGES], labels[:_MOST_IMAGES]
    names = class_names or [str(number) for number in range(labels.shape[-1])]
    width, caption = 1.74, 0.36  # inches; a column is 2 wide
    height = width * images.shape[1] / images.shape[2]
    rows = -(-len(images) // 4)
    figure = Picture(figsize=(8, rows * (height + caption)), dpi=100)
    # One pair of axes, measured in inches from the top: a pair for each image takes half a second to lay out.
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 8), ylim=(rows * (height + caption), 0))
    axes.set_axis_off()
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        left, top = i % 4 * 2 + 1 - width / 2, i // 4 * (height + caption) + caption
        shown = np.broadcast_to(image, (*image.shape[:2], 3))
        axes.imshow(shown, extent=(left, left + width, top + height, top), aspect="auto", interpolation="nearest")
        axes.text(left + width / 2, top - 0.03, label_lines(label, names, width, 9), size=9, ha="center")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()

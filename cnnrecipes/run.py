"""The run folder, and the object that reads it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from cnnrecipes import run_display
from cnnrecipes.artefact import Artefact, Prediction
from cnnrecipes.data.sources import Source, open_source
from cnnrecipes.errors import RunError
from cnnrecipes.evaluation import evaluate
from cnnrecipes.files import write_whole
from cnnrecipes.recipe import Recipe, read_toml

PACKAGES = ("cnnrecipes", "tensorflow", "keras", "numpy", "pandas")


class Run:
    """One training's folder: `recipe`, `history`, `metrics`, `predict`, `evaluate`.

    The folder holds recipe.toml, environment.json, history.csv, metrics.json, checkpoints/, tensorboard/ and the
    artefact model.keras. Each is read when it is asked for.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    @classmethod
    def create(cls, workdir: str | Path, recipe: Recipe) -> Run:
        """A new folder, `<workdir>/<date>_<recipe>_<number>`; an existing one is never used again.

        Raises:
            RunError: the folder cannot be written.
        """
        if not isinstance(workdir, (str, Path)):
            raise RunError(f"workdir is {workdir!r}; give the folder that run folders go into")
        base = f"{date.today().isoformat()}_{recipe.name}"
        try:
            Path(workdir).mkdir(parents=True, exist_ok=True)
            run = cls(_first_free(Path(workdir), base))
            (run.folder / "checkpoints").mkdir()
            run.write("recipe.toml", recipe.to_toml())
            run.write("environment.json", json.dumps(environment(), indent=2))
        except OSError as error:
            raise RunError(
                f"cannot write a run folder in {str(workdir)!r} ({error.strerror}); give another with workdir="
            ) from None
        return run

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """The run of a folder that `fit` has made. Raises RunError where it is none."""
        if not isinstance(folder, (str, Path)):
            raise RunError(f"a run is opened by its path; received {folder!r}")
        if not (Path(folder) / "recipe.toml").is_file():
            raise RunError(
                f"{str(folder)!r} is not a run folder; give one that `fit` has made, as runs/<date>_<recipe>_1"
            )
        return cls(folder)

    @property
    def finished(self) -> bool:
        """Whether its training went to its end, and was measured."""
        return (self.folder / "metrics.json").is_file()

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe as run, complete."""
        path = self.folder / "recipe.toml"
        return Recipe.from_dict(read_toml(path), str(path))

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch: loss, accuracy, val_loss, val_accuracy, learning_rate, seconds, images_per_second."""
        path = self.folder / "history.csv"
        if not path.is_file():
            raise RunError(f"{str(self.folder)!r} has no history.csv; its training did not finish an epoch")
        try:
            return pd.read_csv(path)
        except (ValueError, OSError) as error:
            raise RunError(f"cannot read {str(path)!r} ({error}); restore it, or train again") from None

    @property
    def metrics(self) -> dict[str, Any]:
        """Split -> accuracy, its interval, cross entropy and n, as measured at the end of the training."""
        path = self.folder / "metrics.json"
        if not path.is_file():
            raise RunError(f"{str(self.folder)!r} has no metrics.json; its training did not finish")
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise RunError(f"cannot read {str(path)!r} ({error}); `evaluate` measures again") from None

    @cached_property
    def artefact(self) -> Artefact:
        """The trained model with its names and preprocessing. Raises RunError where it is missing or damaged."""
        return Artefact.load(self.folder / "model.keras")

    @property
    def model(self):
        """The trained `keras.Model`: images 0..255 in, logits out."""
        return self.artefact.model

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in label order."""
        return self.artefact.class_names

    def predict(
        self, inputs: Any, tta: str | Sequence[str] | None = None, average: str = "probabilities"
    ) -> Prediction | list[Prediction]:
        """Names and probabilities for a path, an array or a list; see `Artefact.predict`."""
        return self.artefact.predict(inputs, tta, average)

    def evaluate(
        self,
        data: Any = None,
        split: str | None = None,
        tta: str | Sequence[str] | None = None,
        average: str = "probabilities",
    ) -> dict[str, Any]:
        """Accuracy with its interval, cross entropy and n on a split of the recipe's data, or of `data`.

        Args:
            data: as for `fit`; None: what the run was trained on. The class names must be the run's.
            split: "train", "validation" or "test"; None: the test split, or validation where there is none.
            tta: views to average over, as "flip_lr" or ["ten_crop(short_side=256)"]; None: the plain image.
            average: what of the views is averaged, "probabilities" or "logits".

        Raises:
            DataError: the data cannot be read, or its classes or images do not fit; no such split.
        """
        source = open_source(data, self.recipe.data)
        source.check_class_names(self.class_names)
        return evaluate(self.artefact, source.split(split or final_split(source)), tta, average)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """While within, no other process may train this run. Raises RunError where one does."""
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(
                f"{str(self.folder)!r} is being trained by another process; wait for it, or stop it first"
            ) from None
        except (NotImplementedError, OSError):
            pass  # not every file system has locks, and one without is no reason not to train
        try:
            yield
        finally:
            lock.release()

    def write(self, name: str, text: str) -> None:
        """Write a text file of the folder, whole or not at all."""
        write_whole(self.folder / name, lambda beside: beside.write_text(text, encoding="utf-8"))

    def __repr__(self) -> str:
        return run_display.text(self)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return run_display.page(self)


def load(path: str | Path) -> Run | Artefact:
    """Open a run by its folder, or a model.keras alone, which predicts just the same.

    Raises:
        RunError: neither a run folder nor a whole model of cnnrecipes.
    """
    if not isinstance(path, (str, Path)):
        raise RunError(f"a run is opened by its path; received {path!r}")
    path = Path(path)
    if path.is_file():
        return Artefact.load(path)
    return Run.open(path)


def final_split(source: Source) -> str:
    """The split that the final numbers come from."""
    return "test" if "test" in source.splits else "validation"


def environment() -> dict[str, Any]:
    """Versions, devices and the state of the code that was run."""
    import tensorflow as tf

    return {
        "packages": {name: _version(name) for name in PACKAGES},
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "git": {"commit": _git("rev-parse", "HEAD"), "changed_files": _git("status", "--porcelain")},
        "command": sys.argv,
    }


def _first_free(workdir: Path, base: str) -> Path:
    number = 1
    while True:
        try:
            (workdir / f"{base}_{number}").mkdir()
            return workdir / f"{base}_{number}"
        except FileExistsError:
            number += 1


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """What git says of the current folder; None without git or outside a checkout."""
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()

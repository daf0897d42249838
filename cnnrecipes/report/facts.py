"""`Facts`: all that is known of a run for its report; what is missing is None, with the reason."""

from __future__ import annotations

import json
import shlex
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from cnnrecipes import explain
from cnnrecipes.data.sources.random_access_dataset import Source
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.diagnosis.diagnosis import Diagnosis, diagnosed
from cnnrecipes.diagnosis.recorded_evidence import recorded_evidence
from cnnrecipes.errors import CNNRecipesError, RunError, one_line
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.report.pictures import Pictures
from cnnrecipes.runs import unfinished_run_model
from cnnrecipes.runs.predictions import FILE as PREDICTIONS
from cnnrecipes.runs.predictions import Predictions, read_predictions
from cnnrecipes.runs.records import (
    EMBEDDING,
    FAILURE,
    LABEL_ISSUES,
    PROFILE,
    QUARANTINE,
    ROBUSTNESS,
    read_failure,
    read_quarantine,
)
from cnnrecipes.runs.run import Run

FINAL = ("test", "validation")  # the split that a report is about: the first of them that was predicted

Found = TypeVar("Found")


@dataclass
class Facts:
    """The facts of a run.

    Attributes:
        run: the run.
        recipe: its recipe.
        training: True while the training is running, in the process that writes the report.
        history: one row per epoch.
        metrics: of the finished training.
        watch: statistics of the layers over time.
        environment: environment.json.
        predictions: by split.
        diagnosis: of the records.
        class_names: in label order; () if unknown.
        image_shape: (H, W, C) of the model's images.
        statistics: channel statistics of the training; None if unknown.
        images: number of images of each split; {} if unknown.
        failure: failure.json.
        unreadable: files that were left out of the data.
        robustness, embedding, label_issues: tables of `explain_run` and `label_issues`, all of it text.
        profile: record of `profile`.
        rates: (P, 2), epoch and learning rate as planned.
        source: the data, open; None: pictures are missing.
        thorough: also make what takes seconds: Grad-CAM, the augmented batch, the search for copies.
        pictures: encodes pictures within the budget of the page.
        why: name of a fact to the reason for which it is missing.
    """

    run: Run
    recipe: Recipe
    training: bool = False
    history: pd.DataFrame | None = None
    metrics: dict[str, Any] | None = None
    watch: pd.DataFrame | None = None
    environment: dict[str, Any] | None = None
    predictions: Mapping[str, Predictions] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    class_names: tuple[str, ...] = ()
    image_shape: tuple[int, int, int] | None = None
    statistics: Statistics | None = None
    images: Mapping[str, int] = field(default_factory=dict)
    failure: dict[str, Any] | None = None
    unreadable: Sequence[str] = ()
    robustness: pd.DataFrame | None = None
    embedding: pd.DataFrame | None = None
    label_issues: pd.DataFrame | None = None
    profile: dict[str, Any] | None = None
    rates: np.ndarray | None = None
    source: Source | None = None
    thorough: bool = True
    pictures: Pictures = field(default_factory=Pictures)
    why: dict[str, str] = field(default_factory=dict)

    @property
    def final(self) -> Predictions | None:
        """The predictions that the report is about: of the test split, or of the validation split without one."""
        return next((self.predictions[split] for split in FINAL if split in self.predictions), None)

    @cached_property
    def grad_cam(self) -> explain.GradCam:
        """Grad-CAM of the run's model, traced once. Raises CNNRecipesError: no model, or none with convolutions."""
        return explain.GradCam(self.run.artifact)

    @property
    def given(self) -> bool:
        """True if the data were objects in memory, which a command cannot open."""
        return self.recipe.data.name in ("arrays", "dataframe", "tf.data")

    @property
    def how_to_write(self) -> str:
        """The call that writes the whole report."""
        return (
            f"cr.write_report({str(self.run.folder)!r}, data)"
            if self.given
            else f"cnnrecipes report {shlex.quote(str(self.run.folder))}"
        )

    def how_to_explain(self, part: str) -> str:
        """Return how a part of `explain_run` is computed, as the end of a sentence."""
        call = f"cnnrecipes explain {shlex.quote(str(self.run.folder))} --what {part}"
        if self.given:
            call = f"cr.explain.explain_run(run, 'explain', parts=['{part}'], split='{self.split}', data=data)"
        elif self.split != "validation":
            call += f" --split {self.split}"
        return f"`{call}` does it, then write the report again"

    @property
    def split(self) -> str:
        """The split that the report is about."""
        return self.final.split if self.final is not None else "validation"

    @property
    def state(self) -> str:
        """The state of the training: "training", "finished", "diverged" or "unfinished"."""
        if self.training:
            return "training"
        if self.metrics is not None or self.run.finished:
            return "finished"
        return "diverged" if self.failure else "unfinished"

    @property
    def epochs(self) -> int:
        """Number of completed epochs."""
        return 0 if self.history is None else len(self.history)

    @property
    def seconds(self) -> float:
        """Seconds of all completed epochs together."""
        return 0.0 if self.history is None else float(self.history["seconds"].sum())

    @property
    def best_epoch(self) -> int | None:
        """The epoch, from 1, whose weights the model has; the best validated one while the training is running.

        0: the start of a fine-tuning, which no epoch improved.
        """
        if self.metrics is not None and self.metrics.get("epoch") is not None:
            return int(self.metrics["epoch"])
        if self.history is None or "val_accuracy" not in self.history or self.history["val_accuracy"].isna().all():
            return None
        column, sign = ("val_loss", -1) if self.recipe.train.monitor == "loss" else ("val_accuracy", 1)
        return int(self.history["epoch"].iloc[int((sign * self.history[column]).fillna(-np.inf).to_numpy().argmax())])


def facts_of(run: Run, *, training: bool = False, source: Source | None = None, thorough: bool = True) -> Facts:
    """Return what the files of a run tell. A damaged or missing file is a reason, not an error.

    Args:
        run: finished, unfinished or failed.
        training: it is being trained, by this process: no model and no predictions are looked for.
        source: its data, open.
        thorough: see `Facts`.

    Raises:
        RunError, RecipeError: recipe.toml is damaged.
    """
    found = Facts(run, run.recipe, training, source=source, thorough=thorough)
    found.history = _try(found, "history", lambda: run.history)
    found.watch = _try(found, "watch", run.watch)
    found.environment = _try(found, "environment", lambda: _json(run.folder / "environment.json"))
    found.failure = read_failure(run.folder / FAILURE)
    found.unreadable = read_quarantine(run.folder / QUARANTINE)
    about = _try(found, "model", lambda: _json(run.folder / unfinished_run_model.FILE)) or {}
    found.class_names = tuple(map(str, about.get("class_names", ())))
    if len(about.get("input_shape", ())) == 3:
        height, width, channels = about["input_shape"]
        found.image_shape = (height, width, channels)
    found.statistics = _try(found, "statistics", lambda: unfinished_run_model.recorded_statistics(about))
    if source is not None:
        found.images = {name: len(split) for name, split in source.splits.items()}
    elif isinstance(about.get("images"), dict):
        found.images = about["images"]
    if not training:
        found.metrics = _try(found, "metrics", lambda: run.metrics)
        found.predictions = _try(found, "predictions", lambda: _predictions(run)) or {}
        found.robustness = _try(found, "robustness", lambda: _table(run.folder / ROBUSTNESS))
        found.embedding = _try(found, "embedding", lambda: _table(run.folder / EMBEDDING))
        found.label_issues = _try(found, "label_issues", lambda: _table(run.folder / LABEL_ISSUES))
        found.profile = _try(found, "profile", lambda: _optional_json(run.folder / PROFILE))
    if found.predictions and not found.class_names:
        found.class_names = next(iter(found.predictions.values())).class_names
    found.diagnosis = _try(found, "diagnosis", lambda: _diagnosis(run, found.watch))
    return found


def _predictions(run: Run) -> dict[str, Predictions]:
    path = run.folder / PREDICTIONS
    if not run.finished:
        raise RunError("the training is not finished")
    if not path.is_file():
        command = f"cnnrecipes evaluate {run.folder}"
        raise RunError(f"there is no {PREDICTIONS}, which newer versions write at the end; `{command}` does it")
    return read_predictions(path)


def _diagnosis(run: Run, watch: pd.DataFrame | None) -> Diagnosis:
    if not run.recipe.transfer.trains_by_steps:
        raise RunError("a logistic regression has no epochs to diagnose")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evidence = recorded_evidence(run, watch)
    return diagnosed(evidence)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError) as error:
        raise RunError(f"{path.name} cannot be read ({error})") from None


def _optional_json(path: Path) -> dict[str, Any] | None:
    return _json(path) if path.is_file() else None


def _table(path: Path) -> pd.DataFrame | None:
    """Return a table, all of it text: a class may be called "NA" or "007". None without it; RunError if damaged."""
    if not path.is_file():
        return None
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding_errors="surrogateescape")
    except (OSError, ValueError) as error:
        raise RunError(f"{path.name} cannot be read ({one_line(error)})") from None


def _try(found: Facts, fact: str, read: Callable[[], Found]) -> Found | None:
    """Return what `read` returns; after an error of this package None, and its message is the reason."""
    try:
        return read()
    except (CNNRecipesError, KeyError, TypeError) as error:
        found.why[fact] = str(error)
        return None

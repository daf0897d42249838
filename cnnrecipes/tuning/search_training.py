"""A training of a search in its run folder: started, resumed, or found finished; it never reads the test split."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnnrecipes._support import console
from cnnrecipes._support.locks import NAME, locked
from cnnrecipes.errors import CNNRecipesWarning, Interrupted, RunError
from cnnrecipes.fit import train_from
from cnnrecipes.recipe.search import Search
from cnnrecipes.runs.evaluation import evaluate, summarized
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.trained_model import Artifact
from cnnrecipes.training import run_folder
from cnnrecipes.training.start_or_resume import Start, find_start
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.training.trainer import Finish, MoreCallbacks, Outcome
from cnnrecipes.tuning.open_data import OpenData

_ENDING = 120.0  # seconds that a process of a killed search has to write its checkpoint and end


def train_in(
    folder: Path,
    data: OpenData,
    begin: Callable[[], Start],
    *,
    resumed: Callable[[Start], Start] = lambda start: start,
    callbacks: MoreCallbacks | None = None,
    finish: Finish | None = None,
) -> None:
    """Train the run of a folder unless it is finished, from its newest checkpoint if there is one.

    Args:
        folder: the run folder; there may be none yet.
        data: the open data.
        begin: returns the start of a new run.
        resumed: changes the start of a run that continues.
        callbacks, finish: as in `train_from`; by default no callbacks, and the validation metrics are written.

    Raises:
        Interrupted: Ctrl-C or SIGTERM, or another process does not end its training in this folder.
        CNNRecipesError: as `fit`.
    """
    wait_for_others(folder)
    if (folder / "recipe.toml").is_file():
        run = Run.open(folder)
        if run.finished:
            return
        start = resumed(find_start(run.recipe, run=run, say=console.silent))
    else:
        shutil.rmtree(folder, ignore_errors=True)  # killed while the folder was created
        start = begin()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CNNRecipesWarning)
        train_from(
            start,
            data.data,
            workdir=folder.parent,
            name=None if start.run else folder.name,
            progress=False,
            opened=data.pipeline(start.recipe),
            callbacks=callbacks,
            finish=finish or finish_without_test,
            report=False,
        )


def finish_without_test(run: Run, job: TrainJob, outcome: Outcome) -> None:
    """Write the artifact and the validation metrics of a training."""
    run_folder.finish(run, job, outcome, measured=_validation_metrics)


def wait_for_others(folder: Path) -> None:
    """Wait until no other process trains a run, for example a worker whose search was killed.

    Raises:
        Interrupted: it does not end.
    """
    if not folder.is_dir():
        return
    with locked(folder / NAME, seconds=_ENDING) as free:
        if not free:
            raise Interrupted(f"{str(folder)!r} is being trained by another process; stop it")


def final_score(run: Run, search: Search) -> tuple[float, int]:
    """Return the objective of a finished run's saved weights, and their epoch (0 without epochs)."""
    metrics = run.metrics
    if "validation" not in metrics:
        raise RunError(f"{str(run.folder)!r} has no validation metrics; set data.validation above 0")
    key = "accuracy" if search.objective == "val_accuracy" else "cross_entropy"
    return float(metrics["validation"][key]), int(metrics["epoch"])


def _validation_metrics(artifact: Artifact, job: TrainJob, outcome: Outcome) -> dict[str, Any]:
    """Return the metrics of the validation split, as the training measured them; the test split is not read."""
    split = job.pipeline.source.split("validation")
    row = next((row for row in outcome.state.history if row["epoch"] == outcome.epoch and "val_loss" in row), None)
    if row is None:
        return {"validation": evaluate(artifact, split)}
    n = len(split)
    return {"validation": summarized(split, round(row["val_accuracy"] * n), row["val_loss"] * n, n)}

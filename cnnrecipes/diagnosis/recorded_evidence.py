"""The evidence of a run that its files hold: history, metrics, failure, records of the watch; no data and no model."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from cnnrecipes.diagnosis.evidence import Evidence, LayerRecord, NonFiniteLoss
from cnnrecipes.diagnosis.history import History
from cnnrecipes.diagnosis.watch_summary import layer_records
from cnnrecipes.errors import RunError
from cnnrecipes.runs import checkpoint, unfinished_run_model, watch_records
from cnnrecipes.runs.records import FAILURE, read_failure
from cnnrecipes.runs.run import Run


def recorded_evidence(run: Run, watch: pd.DataFrame | None = None) -> Evidence:
    """Return what the files of a run tell, without its data and without its model.

    Args:
        run: finished, unfinished or failed.
        watch: `run.watch()`, if it is read already; None: it is read.

    Raises:
        RunError: no epoch has completed and no step had a non-finite loss; or a file is damaged.
    """
    recipe, failure = run.recipe, read_failure(run.folder / FAILURE)
    rows: list[Any] = []
    if recipe.transfer.trains_by_steps and not (failure and not (run.folder / "history.csv").is_file()):
        rows = run.history.to_dict("records")
    held_out = run.metrics.get("validation", {}).get("n") if run.finished else None
    done, planned = len(rows), recipe.train.epochs
    return Evidence(
        recipe,
        History.of(rows),
        **_described(run.folder),
        running=not run.finished and failure is None,
        validation_images=held_out,
        stopped=f"after {done} of {planned} epochs" if run.finished and 0 < done < planned else None,
        failure=NonFiniteLoss(**failure) if failure else None,
        layers=_watched(run, watch),
        folder=str(run.folder),
    )


def _described(folder: Path) -> dict[str, Any]:
    """Return the number of classes and the image size of a run; {} if its model.json is missing or damaged."""
    try:
        found = json.loads((folder / unfinished_run_model.FILE).read_text(encoding="utf-8"))
        height, width, _ = found["input_shape"]
        return {"classes": len(found["class_names"]) or None, "image_size": (int(height), int(width))}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _watched(run: Run, watch: pd.DataFrame | None) -> tuple[LayerRecord, ...]:
    """Return what the watch recorded of the layers in the last third of the training; () without its file."""
    if not (run.folder / watch_records.FILE).is_file():
        return ()
    try:
        return layer_records(run.watch() if watch is None else watch, _completed_steps(run.folder))
    except RunError as error:
        warnings.warn(f"{error}; it is left out of the diagnosis", stacklevel=2)
        return ()


def _completed_steps(folder: Path) -> int | None:
    """Return the completed steps of a training by the name of its last checkpoint; None without one."""
    paths = checkpoint.found(folder)
    return checkpoint.step_of(paths[0]) if paths else None

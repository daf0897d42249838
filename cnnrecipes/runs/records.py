"""The records of a run: history.csv, metrics.json, failure.json and quarantine.txt, checked when they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from cnnrecipes.errors import RunError, one_line

CROSS_VALIDATION = "cross_validation"  # its record in metrics.json
PARAMETERS, TRAINABLE = "parameters", "trainable_parameters"  # their numbers in metrics.json
FAILURE = "failure.json"  # written when the loss becomes NaN or infinite
CORRECTIONS = "label_corrections.csv"  # copy of the file `data.corrections`; not written without one
LABEL_ISSUES = "label_issues.csv"  # of `label_issues`, for the report
ROBUSTNESS, EMBEDDING = "robustness.csv", "embedding.csv"  # of `explain_run`, for the report
PROFILE = "profile.json"  # of `profile`, for the report
QUARANTINE = "quarantine.txt"  # the files of the data that cannot be read; not written if there are none


def read_history(path: Path) -> pd.DataFrame:
    """Read history.csv. Raises RunError if it is damaged."""
    try:
        return _checked_history(pd.read_csv(path))
    except (ValueError, OSError) as error:
        raise RunError(f"cannot read {str(path)!r} ({one_line(error)}); restore it, or train again") from None


def read_metrics(path: Path) -> dict[str, Any]:
    """Read metrics.json. Raises RunError if it is damaged."""
    try:
        return _checked_metrics(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, OSError) as error:
        raise RunError(f"cannot read {str(path)!r} ({one_line(error)}); `evaluate` measures again") from None


def read_failure(path: Path) -> dict[str, Any] | None:
    """Read failure.json: epoch and step from 1, loss and learning rate; None if there is none or it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {
            "epoch": int(found["epoch"]),
            "step": int(found["step"]),
            "loss": str(found["loss"]),
            "learning_rate": float(found["learning_rate"]),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_quarantine(path: Path) -> list[str]:
    """Read quarantine.txt: the files that were left out; none if it does not exist or is damaged."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [str(json.loads(line.partition("\t")[0])) for line in lines]
    except (OSError, ValueError):
        return []


def _checked_history(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of history.csv. Raises ValueError if columns are missing or not numeric."""
    wanted = {"epoch", "loss", "accuracy", "learning_rate", "seconds", "images_per_second"}
    validation = {"val_loss", "val_accuracy"}
    if validation & set(table.columns) or any(column.startswith("val") for column in table.columns):
        wanted |= validation
    if missing := wanted - set(table.columns):
        raise ValueError(f"it has no column {', '.join(sorted(missing))}")
    for name, values in table.items():
        if not pd.api.types.is_numeric_dtype(values):
            raise ValueError(f"its column {str(name)!r} has values that are not numbers")
    return table


def _checked_metrics(found: Any) -> dict[str, Any]:
    """Return the content of metrics.json. Raises ValueError if it is not as `fit` writes it."""
    if not isinstance(found, dict) or not isinstance(found.get("epoch"), int):
        raise ValueError("it has no epoch")
    for name in (PARAMETERS, TRAINABLE):
        if not isinstance(found.get(name, 0), int):
            raise ValueError(f"{name} is {found[name]!r}, which is no number")
    for split in found.keys() - {"epoch", "weights", "transfer", PARAMETERS, TRAINABLE}:
        metrics = found[split] if isinstance(found[split], dict) else {}
        interval = metrics.get("accuracy_95")
        values = [metrics.get("accuracy"), metrics.get("n")]
        values += [
            metrics.get(key) for key in (("folds", "repeats") if split == CROSS_VALIDATION else ("cross_entropy",))
        ]
        values += interval if isinstance(interval, list) and len(interval) == 2 else [None]
        if not all(isinstance(value, (int, float)) for value in values):
            raise ValueError(f"{split!r} is not the result of an evaluation")
    return found

"""Records of trials: a JSON file each in the folder of a search, and the table of all.

A search folder holds search.json (what is searched, and the result), recipe.toml, oracle.json (the state of the search
method), and for trial 7 trials/0007.json, its record, and trials/0007/, its run folder.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cnnrecipes._support.atomic_files import write_text
from cnnrecipes.errors import RunError, one_line
from cnnrecipes.runs.records import read_history

TRIALS = "trials"
RETRAINED = "retrained"  # folder of the trainings after the search
RUNNING, COMPLETED, PRUNED, FAILED = STATUSES = ("running", "completed", "pruned", "failed")


@dataclass(frozen=True)
class Trial:
    """One trial of a search.

    Attributes:
        trial: its number, from 1.
        values: recipe key -> value; keys whose condition does not hold are absent.
        seed: `train.seed` of the trial.
        started: local date and time of its start, ISO 8601.
        status: "running", "completed", "pruned" or "failed".
        reason: why it was pruned, or failed.
        score: the objective of the saved epoch; of a pruned trial of its best epoch; None if there is none.
        best_epoch: this epoch, from 1.
        epochs: trained epochs.
        seconds: of the training and all around it, over all resumes.
        run: its run folder, relative to the folder of the search.
        stop_after: epochs after which Hyperband stops it; None: it is trained to its end.
        parent: the trial whose training it continues (Hyperband).
    """

    trial: int
    values: dict[str, Any]
    seed: int
    started: str
    status: str = RUNNING
    reason: str = ""
    score: float | None = None
    best_epoch: int | None = None
    epochs: int = 0
    seconds: float = 0.0
    run: str = field(default="")
    stop_after: int | None = None
    parent: int | None = None

    @property
    def over(self) -> bool:
        """True unless the trial is running."""
        return self.status != RUNNING

    def write(self, folder: Path) -> None:
        """Write the record into the folder of the search, atomically."""
        write_text(path_of(folder, self.trial), json.dumps(dataclasses.asdict(self), indent=2))

    def history(self, folder: Path, column: str) -> dict[int, float]:
        """Return a column of the run's history.csv by epoch; {} if no epoch has ended."""
        try:
            table = read_history(folder / self.run / "history.csv")
        except RunError:
            return {}
        if column not in table:
            return {}
        return {int(epoch): float(value) for epoch, value in zip(table["epoch"], table[column], strict=True)}


def name_of(number: int) -> str:
    """Return the name of a trial's run folder: 4 digits or more."""
    return f"{number:04d}"


def path_of(folder: Path, number: int) -> Path:
    """Return the path of a trial's record."""
    return folder / TRIALS / f"{name_of(number)}.json"


def read_trial(folder: Path, number: int) -> Trial | None:
    """Read the record of a trial; None if there is none. Raises RunError if it is damaged."""
    path = path_of(folder, number)
    return _read(path) if path.is_file() else None


def read_trials(folder: Path) -> list[Trial]:
    """Read the records of all trials, in the order of their numbers. Raises RunError if one is damaged."""
    return sorted((_read(path) for path in (folder / TRIALS).glob("*.json")), key=lambda trial: trial.trial)


def table(trials: Sequence[Trial], keys: Sequence[str]) -> pd.DataFrame:
    """Return one row per trial: its attributes as columns, then one column per key of the space (None if inactive)."""
    columns = [
        *("trial", "status", "reason", "seed", "score", "best_epoch", "epochs", "seconds", "started", "run"),
    ]
    rows = [
        {**{name: getattr(trial, name) for name in columns}, **{key: trial.values.get(key) for key in keys}}
        for trial in trials
    ]
    made = pd.DataFrame(rows, columns=[*columns, *keys])
    made["score"] = made["score"].astype("float64")
    made["best_epoch"] = made["best_epoch"].astype("Int64")
    return made


def _read(path: Path) -> Trial:
    try:
        return Trial(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(
            f"cannot read {str(path)!r} ({one_line(error)}); delete it with the run folder beside it, and resume the "
            "search, which repeats this trial"
        ) from None

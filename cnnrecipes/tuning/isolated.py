"""Trainings of a search in a process each: `python -m cnnrecipes.tuning.isolated FOLDER TRIAL [SEED]`.

A training whose process is killed, for example since the memory of the machine runs out, has failed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cnnrecipes.tuning.child_process import Ended, end_with_parent, run, status_of

if TYPE_CHECKING:
    from cnnrecipes.tuning.records import Trial
    from cnnrecipes.tuning.retraining import Retraining
    from cnnrecipes.tuning.search import Search
    from cnnrecipes.tuning.trial_run import TrialRunner


def run_trial(search: Search, runner: TrialRunner, trial: Trial) -> Trial:
    """Run a trial, which has a record, in a process of its own, and return its record.

    Raises:
        Interrupted: Ctrl-C or SIGTERM, of this process or the other one.
        CNNRecipesError: the error of the other process.
    """
    from cnnrecipes.tuning.records import read_trial

    if trial.over:
        return trial
    ended = run(__name__, str(search.folder), str(trial.trial))
    ended.check(f"trial {trial.trial}")
    found = read_trial(search.folder, trial.trial) or trial
    if not found.over:
        found = runner.failed(found, _reason(ended))
        found.write(search.folder)
    return found


def retraining_of(search: Search) -> Callable[[int, int], Retraining]:
    """Return a function that trains a trial with a seed in a process of its own; errors as of `run_trial`."""
    from cnnrecipes.tuning.retraining import planned, read_retraining, record_path

    def train(trial: int, seed: int) -> Retraining:
        ended = run(__name__, str(search.folder), str(trial), str(seed))
        ended.check(f"trial {trial} with seed {seed}")
        if not record_path(search, trial, seed).is_file():
            replace(planned(trial, seed), reason=_reason(ended)).write(search)
        return read_retraining(search, trial, seed)

    return train


def _reason(ended: Ended) -> str:
    how = f"was killed by {ended.killed_by}" if ended.killed_by else "ended without a result"
    return f"its process {how}; the memory of the machine may be too small"


def main(folder: str, number: str, seed: str | None = None) -> None:
    """Run the trial of this number, or train it again with a seed."""
    from cnnrecipes._support.console import import_tensorflow

    import_tensorflow()
    from cnnrecipes.errors import RunError
    from cnnrecipes.tuning.open_data import OpenData
    from cnnrecipes.tuning.records import read_trial
    from cnnrecipes.tuning.retraining import train_again
    from cnnrecipes.tuning.search import Search
    from cnnrecipes.tuning.trial_run import TrialRunner

    search = Search.open(Path(folder))
    trial = read_trial(search.folder, int(number))
    if trial is None:
        raise RunError(f"the search {folder!r} has no record of trial {number}; `cnnrecipes tune --resume` writes it")
    with OpenData() as data:
        if seed is None:
            TrialRunner(search.recipe, search.folder, data).run(trial.trial, trial.values)
        else:
            train_again(search, data, trial, int(seed))


if __name__ == "__main__":
    end_with_parent()
    sys.exit(status_of(lambda: main(*sys.argv[1:])))

"""Trainings after a search: the best trials again, with seeds that the search did not use.

The score of the best of many trials is too high: it was selected for its luck too. These trainings show what remains.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cnnrecipes._support.atomic_files import write_text
from cnnrecipes._support.locks import locked
from cnnrecipes.errors import RunError, one_line
from cnnrecipes.runs.run import Run
from cnnrecipes.tuning.display.axes import shown_score
from cnnrecipes.tuning.display.page_writer import PageWriter
from cnnrecipes.tuning.failures import failure_reason
from cnnrecipes.tuning.open_data import OpenData
from cnnrecipes.tuning.records import RETRAINED, Trial, name_of
from cnnrecipes.tuning.search import Search
from cnnrecipes.tuning.search_training import final_score, train_in
from cnnrecipes.tuning.seeds import unused_seeds
from cnnrecipes.tuning.trial_recipe import trial_start

_POLL = 0.2  # seconds between two looks at what other processes are training


@dataclass(frozen=True)
class Retraining:
    """A training of a trial's recipe with another seed; `score` is None if it failed, for `reason`."""

    trial: int
    seed: int
    run: str
    score: float | None = None
    reason: str = ""

    def write(self, search: Search) -> None:
        """Write the record into the folder of the search, atomically."""
        write_text(record_path(search, self.trial, self.seed), json.dumps(vars(self), indent=2))


def retrain(
    search: Search,
    data: OpenData,
    say: Callable[[str], None],
    *,
    all_of_them: bool = False,
    isolated: Callable[[int, int], Retraining] | None = None,
) -> None:
    """Train the best trials again, each with every seed. What another process is training is left to it.

    Args:
        search: the search, whose trials are over.
        data: the open data.
        say: receives a line per training.
        all_of_them: come back until all are over, also those that a process began which was killed.
        isolated: trains a trial with a seed in another process; None: in this one.

    Raises:
        Interrupted: Ctrl-C or SIGTERM.
        CNNRecipesError: an error that the values did not cause.
    """
    display = PageWriter(search, say)
    (search.folder / RETRAINED).mkdir(exist_ok=True)
    while unfinished_retrainings(search):
        for trial, seed in tasks(search):
            path = record_path(search, trial.trial, seed)
            with locked(path.with_suffix(".lock")) as free:
                if not free or path.is_file():
                    continue
                done = isolated(trial.trial, seed) if isolated else train_again(search, data, trial, seed)
            shown = shown_score(done.score, search.settings.objective)
            say(f"trial {trial.trial} again with seed {seed}: {shown if not done.reason else f'failed: {done.reason}'}")
            display.write()
        if not all_of_them:
            return
        time.sleep(_POLL)


def train_again(search: Search, data: OpenData, trial: Trial, seed: int) -> Retraining:
    """Train a trial's recipe with a seed, or resume this training, and return its record, which is written.

    Raises:
        CNNRecipesError: an error that the values did not cause, as `failure_reason` has it.
    """
    made = planned(trial.trial, seed)
    folder = search.folder / made.run
    try:
        train_in(folder, data, lambda: trial_start(search.recipe, data.data, trial.values, seed))
        done = replace(made, score=final_score(Run.open(folder), search.settings)[0])
    except Exception as error:
        if (reason := failure_reason(error)) is None:
            raise
        done = replace(made, reason=reason)
    done.write(search)
    return done


def tasks(search: Search) -> list[tuple[Trial, int]]:
    """Return the trials that are trained again, each with each seed."""
    settings = search.settings
    seeds = unused_seeds(settings.seed, settings.seeds, {one.seed for one in search.records})
    return [(trial, seed) for trial in finalists(search)[: _count(search)] for seed in seeds]


def finalists(search: Search) -> list[Trial]:
    """Return the completed trials, the best first; if there are none, the pruned ones, those of most epochs first."""
    if ranked := search.ranked():
        return ranked
    sign = -1 if search.settings.maximizes else 1
    cut = [one for one in search.records if one.score is not None]
    return sorted(cut, key=lambda one: (-one.epochs, sign * (one.score or 0.0), one.trial))


def unfinished_retrainings(search: Search) -> int:
    """Return the number of trainings after the search that are not over."""
    return sum(not record_path(search, trial.trial, seed).is_file() for trial, seed in tasks(search))


def read_retraining(search: Search, trial: int, seed: int) -> Retraining:
    """Read the record of a training after the search. Raises RunError if there is none, or it is damaged."""
    path = record_path(search, trial, seed)
    try:
        return Retraining(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"cannot read {str(path)!r} ({one_line(error)}); delete it, and resume the search") from None


def planned(trial: int, seed: int) -> Retraining:
    """Return the record of a training that has not begun."""
    return Retraining(trial, seed, f"{RETRAINED}/{_name(trial, seed)}")


def record_path(search: Search, trial: int, seed: int) -> Path:
    """Return the path of the record of a training after the search."""
    return search.folder / RETRAINED / f"{_name(trial, seed)}.json"


def _count(search: Search) -> int:
    """Return how many trials are trained again: without a completed trial at least one, which has no model yet."""
    return search.settings.best if search.ranked() else max(search.settings.best, 1)


def _name(trial: int, seed: int) -> str:
    return f"{name_of(trial)}_{seed}"

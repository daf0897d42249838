"""The loop of a search in one process: take a trial from the oracle, run it, report its result."""

from __future__ import annotations

import gc
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from keras_tuner.src.engine.trial import Trial as TunerTrial
from keras_tuner.src.engine.trial import TrialStatus

from cnnrecipes.tuning.display.axes import shown_score, shown_value
from cnnrecipes.tuning.display.page_writer import PageWriter
from cnnrecipes.tuning.isolated import run_trial
from cnnrecipes.tuning.kept_oracle import VALUES
from cnnrecipes.tuning.oracles import number_of
from cnnrecipes.tuning.records import COMPLETED, FAILED, PRUNED, Trial
from cnnrecipes.tuning.search import Search
from cnnrecipes.tuning.trial_run import TrialRunner

_WAIT = 1.0  # seconds until an idle worker asks again


class TrialSource(Protocol):
    """A source of trials: an oracle, or a client of the chief's."""

    def create_trial(self, tuner_id: str) -> TunerTrial:
        """Return the next trial of a worker."""

    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> Any:
        """Report the score of a trial to the oracle; `metrics` has the value of the objective."""

    def end_trial(self, trial: TunerTrial) -> None:
        """Report to the oracle that a trial is over."""


def run_trials(
    search: Search,
    oracle: TrialSource,
    runner: TrialRunner,
    say: Callable[[str], None],
    *,
    worker: str = "tuner0",
    isolate: bool = False,
) -> None:
    """Run trials until the oracle has no more.

    Args:
        worker: its name; after it died, another one of this name gets its trial.
        isolate: run each trial in a process of its own.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; the trial can be resumed.
        CNNRecipesError: an error that the values of a trial did not cause; the trial can be resumed.
    """
    first, display = True, PageWriter(search, say)
    display.write()
    try:
        while True:
            task = oracle.create_trial(worker)
            if task.status == TrialStatus.STOPPED:
                return
            if task.status == TrialStatus.IDLE:
                time.sleep(_WAIT)
                continue
            number, values, more = _arguments(task)
            if isolate:
                done = run_trial(search, runner, runner.record(number, values, **more))
            else:
                done = runner.run(number, values, **more)
            _report(oracle, task, done, search.settings.objective)
            say(line(search, done))
            display.trial_over(done)
            if first:  # what exists now outlives the trials; collections after each are fast without it
                gc.collect()
                gc.freeze()
                first = False
    finally:
        gc.unfreeze()


def line(search: Search, done: Trial) -> str:
    """Return a line about a trial that is over."""
    values = ", ".join(f"{key}={shown_value(value)}" for key, value in done.values.items())
    name = search.settings.objective
    if done.status == FAILED:
        return f"trial {done.trial} failed: {done.reason}; {values}"
    what = f"{name} {shown_score(done.score, name)}"
    if done.status == PRUNED:
        return f"trial {done.trial}: {what}, {done.reason}; {values}"
    ranked = search.ranked()
    best = "the best so far" if ranked and ranked[0].trial == done.trial else f"best: trial {ranked[0].trial}"
    return f"trial {done.trial}: {what} in {done.seconds:.1f} s ({best}); {values}"


def _arguments(task: TunerTrial) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Return number, values, and Hyperband's epochs and parent of keras-tuner's trial."""
    values = task.hyperparameters.values
    parent = values.get("tuner/trial_id")
    more = {"stop_after": values.get("tuner/epochs"), "parent": number_of(parent) if parent else None}
    return number_of(task.trial_id), json.loads(values[VALUES]), more


def _report(oracle: TrialSource, task: TunerTrial, done: Trial, objective: str) -> None:
    """Report a trial to its oracle; a pruned one counts with its best epoch."""
    counts = done.status in (COMPLETED, PRUNED) and done.score is not None and math.isfinite(done.score)
    if counts:
        oracle.update_trial(task.trial_id, {objective: float(done.score or 0.0)})
    task.status = TrialStatus.COMPLETED if counts else TrialStatus.FAILED
    task.message = done.reason or None
    oracle.end_trial(task)

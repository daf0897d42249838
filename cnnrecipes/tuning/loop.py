"""The loop of a search in one process: take a trial from the oracle, run it, report its result."""

from __future__ import annotations

import gc
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from keras_tuner.src.engine.trial import Trial as TunerTrial
from keras_tuner.src.engine.trial import TrialStatus

from cnnrecipes.tuning.display.page_writer import PageWriter
from cnnrecipes.tuning.kept_oracle import VALUES
from cnnrecipes.tuning.oracles import number_of
from cnnrecipes.tuning.records import COMPLETED, FAILED, PRUNED, Trial, read_trial
from cnnrecipes.tuning.search import Search
from cnnrecipes.tuning.trial_run import TrialRunner

_WAIT = 1.0  # seconds until an idle worker asks again


class TrialSource(Protocol):
    """A source of trials: an oracle, or a client of the chief's."""

    def create_trial(self, tuner_id: str) -> TunerTrial:
        """Return the next trial of a worker."""

    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> Any:
        """Report the objective of a trial."""

    def end_trial(self, trial: TunerTrial) -> None:
        """Report that a trial is over."""


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
            done = (_run_isolated if isolate else _run)(search, runner, task)
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
    values = ", ".join(f"{key}={_short(value)}" for key, value in done.values.items())
    name = search.settings.objective
    if done.status == FAILED:
        return f"trial {done.trial} failed: {done.reason}; {values}"
    score = f"{done.score:.2%}" if name == "val_accuracy" else f"{done.score:.4f}"
    what = f"{name} {score}"
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


def _run(search: Search, runner: TrialRunner, task: TunerTrial) -> Trial:
    number, values, more = _arguments(task)
    return runner.run(number, values, **more)


def _run_isolated(search: Search, runner: TrialRunner, task: TunerTrial) -> Trial:
    """Run a trial in a process of its own; if that is killed, the trial has failed."""
    number, values, more = _arguments(task)
    trial = runner.record(number, values, **more)
    if trial.over:
        return trial
    command = [sys.executable, "-m", "cnnrecipes.tuning.isolated", str(search.folder), str(number)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = read_trial(search.folder, number) or trial
    if not found.over:
        why = f"was killed by signal {-done.returncode}" if done.returncode < 0 else f"ended with {done.returncode}"
        told = done.stderr.strip().splitlines()[-1:] or ["the memory of the machine may be too small"]
        found = replace(found, status=FAILED, reason=f"its process {why}: {told[0]}"[:500])
        found.write(search.folder)
    return found


def _report(oracle: TrialSource, task: TunerTrial, done: Trial, objective: str) -> None:
    """Report a trial to its oracle; a pruned one counts with its best epoch."""
    counts = done.status in (COMPLETED, PRUNED) and done.score is not None and math.isfinite(done.score)
    if counts:
        oracle.update_trial(task.trial_id, {objective: float(done.score or 0.0)})
    task.status = TrialStatus.COMPLETED if counts else TrialStatus.FAILED
    task.message = done.reason or None
    oracle.end_trial(task)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

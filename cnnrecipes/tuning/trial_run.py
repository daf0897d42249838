"""One trial of a search: a run in the folder of the search, trained, resumed or found finished."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.recipe.search import NoPruning
from cnnrecipes.recipe.values import plain
from cnnrecipes.runs.run import Run
from cnnrecipes.training.start_or_resume import Start
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.training.trainer import Outcome
from cnnrecipes.tuning.failures import failure_reason
from cnnrecipes.tuning.open_data import OpenData
from cnnrecipes.tuning.pruning import PRUNED_AFTER, Curve, Others, StopTrial, reason_to_prune, without_stop
from cnnrecipes.tuning.records import COMPLETED, FAILED, PRUNED, TRIALS, Trial, name_of, read_trial, read_trials
from cnnrecipes.tuning.search_training import final_score, finish_without_test, train_in, wait_for_others
from cnnrecipes.tuning.seeds import trial_seed
from cnnrecipes.tuning.trial_recipe import trial_start


class TrialRunner:
    """Runs the trials of a search in this process.

    Args:
        base: the recipe with its `search` table.
        folder: of the search.
        data: the data, which stay open between the trials.
    """

    def __init__(self, base: Recipe, folder: Path, data: OpenData):
        assert base.search is not None
        self.base, self.search, self.folder, self.data = base, base.search, folder, data
        self._curves: dict[int, Curve] = {}

    def run(
        self, number: int, values: Mapping[str, Any], *, stop_after: int | None = None, parent: int | None = None
    ) -> Trial:
        """Train a trial, or resume it where it was interrupted, and return its record.

        Args:
            number: of the trial, from 1.
            values: recipe key -> value.
            stop_after: epochs after which it is stopped; None: none.
            parent: number of the trial whose training it continues.

        Raises:
            Interrupted: Ctrl-C or SIGTERM; the trial can be resumed.
            CNNRecipesError: an error that the values did not cause, as `failure_reason` has it; the trial goes on
                when the search is resumed.
        """
        trial = self.record(number, values, stop_after=stop_after, parent=parent)
        if trial.over:
            return trial
        started = time.monotonic()
        before = sum(trial.history(self.folder, "seconds").values())
        try:
            done = self.result(trial, self._train(trial))
        except Exception as error:
            if (reason := failure_reason(error)) is None:
                raise
            done = self.failed(trial, reason)
        done = replace(done, seconds=round(before + time.monotonic() - started, 3))
        done.write(self.folder)
        return done

    def record(
        self, number: int, values: Mapping[str, Any], *, stop_after: int | None = None, parent: int | None = None
    ) -> Trial:
        """Return the record of a trial; a new one is written if it has none. Arguments as for `run`."""
        if found := read_trial(self.folder, number):
            return found
        inherited = read_trial(self.folder, parent) if parent else None
        made = Trial(
            trial=number,
            values=plain(dict(values)),
            seed=inherited.seed if inherited else trial_seed(self.search.seed, number),
            started=datetime.now().astimezone().isoformat(timespec="milliseconds"),
            run=f"{TRIALS}/{name_of(number)}",
            stop_after=stop_after,
            parent=parent,
        )
        made.write(self.folder)
        return made

    def failed(self, trial: Trial, reason: str) -> Trial:
        """Return the record of a trial that failed."""
        history = trial.history(self.folder, self.search.objective)
        return replace(trial, status=FAILED, reason=reason, epochs=len(history))

    def _train(self, trial: Trial) -> str | None:
        """Train the run of a trial if it is not finished; return the reason why it was stopped early."""
        folder = self.folder / trial.run
        if trial.parent is not None and not (folder / "recipe.toml").is_file():
            _copy_run(self.folder / TRIALS / name_of(trial.parent), folder)
        reasons: list[str | None] = [None]

        def finish(run: Run, job: TrainJob, outcome: Outcome) -> None:
            reason = outcome.state.stop_reason or ""
            reasons.append(reason if reason.startswith(PRUNED_AFTER) else None)
            if reasons[-1] is None:
                finish_without_test(run, job, outcome)

        train_in(
            folder,
            self.data,
            lambda: trial_start(self.base, self.data.data, trial.values, trial.seed),
            resumed=lambda start: _continued(start, trial),
            callbacks=lambda job: self._stops(trial, job),
            finish=finish,
        )
        return reasons[-1]

    def _stops(self, trial: Trial, job: TrainJob) -> list[StopTrial]:
        rule = self.search.rule
        if trial.stop_after is None and isinstance(rule, NoPruning):
            return []

        def reason(own: Curve) -> str | None:
            if trial.stop_after is not None:
                last = max(own) >= trial.stop_after
                return f"{self.search.method} gives it {trial.stop_after} epochs" if last else None
            return reason_to_prune(rule, own, self._others(trial), maximizes=self.search.maximizes)

        return [StopTrial(job, reason, self.search.objective)]

    def _others(self, trial: Trial) -> Others:
        """Return the curves of the other trials; those of trials that are over are read once."""
        completed: list[Curve] = []
        found: list[Curve] = []
        for other in read_trials(self.folder):
            if other.trial == trial.trial or other.status == FAILED:
                continue
            curve = self._curves.get(other.trial) or other.history(self.folder, self.search.objective)
            if other.over:
                self._curves[other.trial] = curve
            found.append(curve)
            if other.status == COMPLETED:
                completed.append(curve)
        return Others(completed, found)

    def result(self, trial: Trial, stopped: str | None) -> Trial:
        """Return the record of a trained trial from the files of its run; `stopped`: why it was stopped early."""
        history = trial.history(self.folder, self.search.objective)
        if stopped is None:
            score, epoch = final_score(Run.open(self.folder / trial.run), self.search)
            status = COMPLETED
        else:
            pick = max if self.search.maximizes else min
            known = {epoch: value for epoch, value in history.items() if not math.isnan(value)}
            epoch = pick(known, key=known.__getitem__, default=0)
            score, status = known.get(epoch, math.nan), PRUNED
        if math.isnan(score):
            return self.failed(trial, f"{self.search.objective} is NaN")
        return replace(trial, status=status, reason=stopped or "", score=score, best_epoch=epoch, epochs=len(history))


def _copy_run(parent: Path, folder: Path) -> None:
    """Copy the run of a parent; recipe.toml comes last, which makes it a run."""
    wait_for_others(folder)
    shutil.rmtree(folder, ignore_errors=True)  # killed while the folder was created
    leave = shutil.ignore_patterns("recipe.toml", ".lock", "tensorboard")
    shutil.copytree(parent, folder, ignore=leave)
    shutil.copy2(parent / "recipe.toml", folder / "recipe.toml")


def _continued(start: Start, trial: Trial) -> Start:
    """Return the start of a trial that continues a parent which was stopped: with more epochs."""
    if start.checkpoint is None or trial.parent is None:
        return start
    if start.checkpoint.state.epoch >= (trial.stop_after or start.checkpoint.state.epoch + 1):
        return start
    return replace(start, checkpoint=without_stop(start.checkpoint))

"""One trial of a search: a run in the folder of the search, trained, resumed or found finished."""

from __future__ import annotations

import copy
import dataclasses
import shutil
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import tensorflow as tf
from filelock import FileLock, Timeout

from cnnrecipes._support import console
from cnnrecipes.errors import CNNRecipesWarning, DiskFull, Interrupted, OutOfMemory, RunError, WriteError, one_line
from cnnrecipes.fit import train_from
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.recipe.search import NoPruning, Search
from cnnrecipes.recipe.values import plain
from cnnrecipes.runs.checkpoint import Checkpoint
from cnnrecipes.runs.evaluation import evaluate, summarized
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.trained_model import Artifact
from cnnrecipes.training import run_folder
from cnnrecipes.training.start_or_resume import Start, find_start
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.training.trainer import Outcome
from cnnrecipes.tuning.open_data import OpenData
from cnnrecipes.tuning.pruning import PRUNED_AFTER, Curve, Others, StopTrial, reason_to_prune
from cnnrecipes.tuning.records import COMPLETED, FAILED, PRUNED, TRIALS, Trial, name_of, read_trial, read_trials
from cnnrecipes.tuning.seeds import trial_seed
from cnnrecipes.tuning.trial_recipe import trial_start

_ENDING = 120.0  # seconds that a worker of a killed search has to end
_LONGEST = 500  # characters of a reason


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
            DiskFull, WriteError: files cannot be written.
        """
        trial = self.record(number, values, stop_after=stop_after, parent=parent)
        if trial.over:
            return trial
        started = time.monotonic()
        before = sum(trial.history(self.folder, "seconds").values())
        done = self._trained(trial)
        done = replace(done, seconds=round(before + time.monotonic() - started, 3))
        done.write(self.folder)
        return done

    def record(
        self, number: int, values: Mapping[str, Any], *, stop_after: int | None = None, parent: int | None = None
    ) -> Trial:
        """Return the record of a trial; a new one is written if it has none. Arguments as of `run`."""
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

    def _trained(self, trial: Trial) -> Trial:
        """Train a trial and return its record; whatever goes wrong in it is its reason to fail."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CNNRecipesWarning)
                stopped = self._train(trial)
            return self._result(trial, stopped)
        except (Interrupted, KeyboardInterrupt, DiskFull, WriteError):
            raise
        except tf.errors.ResourceExhaustedError as error:
            reason = f"out of memory: {one_line(error)}"
        except OutOfMemory as error:
            reason = one_line(error)
        except Exception as error:  # whatever the values lead to: the search goes on
            reason = one_line(error) or type(error).__name__
        history = trial.history(self.folder, self.search.objective)
        return replace(trial, status=FAILED, reason=reason[:_LONGEST], epochs=len(history))

    def _train(self, trial: Trial) -> str | None:
        """Train the run of a trial if it is not finished; return the reason why it was stopped early."""
        folder = self.folder / trial.run
        start = self._start(trial, folder)
        if start is None:
            return None
        reasons: list[str | None] = []

        def finish(run: Run, job: TrainJob, outcome: Outcome) -> None:
            reason = outcome.state.stop_reason or ""
            reasons.append(reason if reason.startswith(PRUNED_AFTER) else None)
            if reasons[-1] is None:
                run_folder.finish(run, job, outcome, measured=validation_metrics)

        train_from(
            start,
            self.data.data,
            workdir=folder.parent,
            name=None if start.run else folder.name,
            progress=False,
            opened=self.data.pipeline(start.recipe),
            callbacks=lambda job: self._stops(trial, job),
            finish=finish,
        )
        return reasons[0]

    def _start(self, trial: Trial, folder: Path) -> Start | None:
        """Return how a trial starts; None if its run is finished."""
        if not (folder / "recipe.toml").is_file():
            shutil.rmtree(folder, ignore_errors=True)  # killed while the folder was created
            if trial.parent is None:
                return trial_start(self.base, self.data.data, trial.values, trial.seed)
            _copy_run(self.folder / TRIALS / name_of(trial.parent), folder)
        run = Run.open(folder)
        if run.finished:
            return None
        wait_for_others(folder)
        start = find_start(run.recipe, run=run, say=console.silent)
        return replace(start, checkpoint=_continued(start.checkpoint, trial)) if start.checkpoint else start

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

    def _result(self, trial: Trial, stopped: str | None) -> Trial:
        """Return the record of a trained trial from the files of its run."""
        history = trial.history(self.folder, self.search.objective)
        if stopped is None:
            score, epoch = final_score(Run.open(self.folder / trial.run), self.search)
            status = COMPLETED
        else:
            pick = max if self.search.maximizes else min
            epoch = pick(history, key=history.__getitem__)
            score, status = history[epoch], PRUNED
        if score != score:  # NaN
            return replace(trial, status=FAILED, reason=f"{self.search.objective} is NaN", epochs=len(history))
        return replace(trial, status=status, reason=stopped or "", score=score, best_epoch=epoch, epochs=len(history))


def wait_for_others(folder: Path) -> None:
    """Wait until no other process trains a run, for example a worker whose search was killed.

    Raises:
        Interrupted: it does not end.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=_ENDING)
    except Timeout:
        raise Interrupted(f"{str(folder)!r} is being trained by another process; stop it") from None
    except (NotImplementedError, OSError):
        return  # a file system without locks
    lock.release()


def final_score(run: Run, search: Search) -> tuple[float, int]:
    """Return the objective of a finished run's saved weights, and their epoch (0 without epochs)."""
    metrics = run.metrics
    if "validation" not in metrics:
        raise RunError(f"{str(run.folder)!r} has no validation metrics; set data.validation above 0")
    key = "accuracy" if search.objective == "val_accuracy" else "cross_entropy"
    return float(metrics["validation"][key]), int(metrics["epoch"])


def validation_metrics(artifact: Artifact, job: TrainJob, outcome: Outcome) -> dict[str, Any]:
    """Return the metrics of the validation split, as the training measured them; the test split is not read."""
    split = job.pipeline.source.split("validation")
    row = next((row for row in outcome.state.history if row["epoch"] == outcome.epoch and "val_loss" in row), None)
    if row is None:
        return {"validation": evaluate(artifact, split)}
    n = len(split)
    return {"validation": summarized(split, round(row["val_accuracy"] * n), row["val_loss"] * n, n)}


def _copy_run(parent: Path, folder: Path) -> None:
    """Copy the run of a parent; recipe.toml comes last, which makes it a run."""
    leave = shutil.ignore_patterns("recipe.toml", ".lock", "tensorboard")
    shutil.copytree(parent, folder, ignore=leave)
    shutil.copy2(parent / "recipe.toml", folder / "recipe.toml")


def _continued(checkpoint: Checkpoint, trial: Trial) -> Checkpoint:
    """Return the checkpoint of a parent that was stopped, for more epochs."""
    state = checkpoint.state
    stopped = state.stop_reason is not None and state.stop_reason.startswith(PRUNED_AFTER)
    if trial.parent is None or not stopped or state.epoch >= (trial.stop_after or state.epoch + 1):
        return checkpoint
    return dataclasses.replace(checkpoint, state=replace(copy.deepcopy(state), stop_reason=None))

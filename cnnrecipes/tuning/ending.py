"""The end of a search: the best trials are trained again with other seeds, and the test split is read for the winner.

The score of the best of many trials is too high: it was selected for its luck too. Trainings with seeds that the search
did not use show what remains.
"""

from __future__ import annotations

import json
import shutil
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cnnrecipes._support import console
from cnnrecipes._support.atomic_files import write_text
from cnnrecipes.errors import CNNRecipesWarning, DiskFull, Interrupted, RunError, WriteError, counted, one_line
from cnnrecipes.fit import train_from
from cnnrecipes.runs.evaluation import evaluate
from cnnrecipes.runs.run import Run
from cnnrecipes.training import run_folder
from cnnrecipes.training.start import find_start
from cnnrecipes.tuning.display.page_writer import PageWriter
from cnnrecipes.tuning.open_data import OpenData
from cnnrecipes.tuning.records import RETRAINED, Trial, name_of
from cnnrecipes.tuning.search import Search
from cnnrecipes.tuning.seeds import unused_seeds
from cnnrecipes.tuning.trial_recipe import trial_start
from cnnrecipes.tuning.trial_run import final_score, validation_metrics


@dataclass(frozen=True)
class Retraining:
    """A training of a trial's recipe with another seed; `score` is None if it failed, for `reason`."""

    trial: int
    seed: int
    run: str
    score: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Candidate:
    """One of the best trials with its trainings after the search."""

    trial: Trial
    again: tuple[Retraining, ...]

    @property
    def scores(self) -> list[float]:
        """The scores of the trainings that did not fail."""
        return [one.score for one in self.again if one.score is not None]

    @property
    def mean(self) -> float | None:
        """Their mean; None if one failed, since the recipe cannot be relied on then, or if there are none."""
        return statistics.fmean(self.scores) if self.again and len(self.scores) == len(self.again) else None

    @property
    def std(self) -> float | None:
        """Their standard deviation, with n - 1; None for a single one."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else None


def retrain(search: Search, data: OpenData, say: Callable[[str], None]) -> None:
    """Train the best trials again, each with every seed. What another worker is training is left to it.

    Raises:
        Interrupted: Ctrl-C or SIGTERM.
    """
    display = PageWriter(search, say)
    for trial, seed in _tasks(search):
        path = search.folder / RETRAINED / f"{_name(trial, seed)}.json"
        path.parent.mkdir(exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        try:
            if not path.is_file():
                done = _retrained(search, data, trial, seed)
                write_text(path, json.dumps(vars(done), indent=2))
                score = _shown(search, done.score) if done.score is not None else f"failed: {done.reason}"
                say(f"trial {trial.trial} again with seed {seed}: {score}")
                display.write()
        finally:
            lock.release()


def unfinished_retrainings(search: Search) -> int:
    """Return the number of trainings after the search that are not over."""
    folder = search.folder / RETRAINED
    return sum(not (folder / f"{_name(trial, seed)}.json").is_file() for trial, seed in _tasks(search))


def conclude(search: Search, data: OpenData) -> dict[str, Any]:
    """Choose the winner, read the test split for it, and write the result into search.json; return the result."""
    candidates = _candidates(search)
    chosen = _winner(search, candidates)
    document = search.document
    result: dict[str, Any] = {
        "settings": _sizes(search),
        "counts": search.counts(),
        "winner": chosen.trial.trial if chosen else None,
        "values": chosen.trial.values if chosen else None,
        "best_run": _best_run(chosen) if chosen else None,
        "candidates": [_described(one) for one in candidates],
        "test": None,
    }
    if chosen and (runs := _runs(chosen)):
        document.setdefault("test_readings", []).append(
            {"when": datetime.now().astimezone().isoformat(timespec="seconds"), "trial": chosen.trial.trial}
        )
        search.write(document)  # before it is read, so that no reading goes unrecorded
        result["test"] = _test(search, data, runs)
    result["sentences"] = sentences(search, result, candidates, readings=len(document.get("test_readings", [])))
    search.write({**document, "result": result})
    return result


def is_concluded(search: Search) -> bool:
    """Return True if search.json has the result of a search of this size."""
    return search.result is not None and search.result.get("settings") == _sizes(search)


def sentences(search: Search, result: dict[str, Any], candidates: Sequence[Candidate], readings: int) -> list[str]:
    """Return the result of a search as sentences for the user.

    Args:
        search: the search.
        result: the result that is written into search.json.
        candidates: the best trials, with their trainings with other seeds.
        readings: how often the test split has been evaluated.
    """
    name, lines = search.settings.objective, [f"{result['counts']}."]
    if result["winner"] is None:
        return [*lines, f"No trial has a result: {_why_none(search)}"]
    ranked = search.ranked()
    top = ranked[0]
    lines.append(f"Best {name} of the search: {_shown(search, top.score)}, trial {top.trial}.")
    tested = [one for one in candidates if one.mean is not None]
    if tested:
        lines.append(_again(search, candidates))
        winner = next(one for one in tested if one.trial.trial == result["winner"])
        lines.append(f"Trial {winner.trial.trial} wins, with {_with_std(search, winner)}.")
        lines.append(_regression(search, tested, len(ranked)))
    else:
        lines.append(
            "It was not trained again with other seeds, so this score is too high by an unknown amount: it is the best "
            f"of {counted(len(ranked), 'completed trial')}. search.best=3 trains the best 3 again."
        )
    lines.append(_test_sentence(result["test"], readings))
    return lines


def _tasks(search: Search) -> list[tuple[Trial, int]]:
    settings, records = search.settings, search.records
    seeds = unused_seeds(settings.seed, settings.seeds, {one.seed for one in records})
    return [(trial, seed) for trial in search.ranked()[: settings.best] for seed in seeds]


def _retrained(search: Search, data: OpenData, trial: Trial, seed: int) -> Retraining:
    """Train a trial's recipe with a seed, or resume it; a failure is recorded."""
    folder = search.folder / RETRAINED / _name(trial, seed)
    made = Retraining(trial.trial, seed, f"{RETRAINED}/{folder.name}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CNNRecipesWarning)
            run = _trained(search, data, trial, seed, folder)
        return Retraining(**{**vars(made), "score": final_score(run, search.settings)[0]})
    except (Interrupted, KeyboardInterrupt, DiskFull, WriteError):
        raise
    except Exception as error:  # as in a trial
        return Retraining(**{**vars(made), "reason": one_line(error)[:500]})


def _trained(search: Search, data: OpenData, trial: Trial, seed: int, folder: Path) -> Run:
    if (folder / "recipe.toml").is_file():
        run = Run.open(folder)
        if run.finished:
            return run
        start = find_start(run.recipe, run=run, say=console.silent)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        start = trial_start(search.recipe, data.data, trial.values, seed)
    return train_from(
        start,
        data.data,
        workdir=folder.parent,
        name=None if start.run else folder.name,
        progress=False,
        opened=data.pipeline(start.recipe),
        finish=lambda run, job, outcome: run_folder.finish(run, job, outcome, measured=validation_metrics),
    )


def _candidates(search: Search) -> list[Candidate]:
    """Return the best trials with their trainings after the search."""
    found: dict[int, list[Retraining]] = {}
    for trial, seed in _tasks(search):
        path = search.folder / RETRAINED / f"{_name(trial, seed)}.json"
        try:
            again = Retraining(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise RunError(f"cannot read {str(path)!r} ({one_line(error)}); delete it, and resume the search") from None
        found.setdefault(trial.trial, []).append(again)
    best = search.ranked()[: max(search.settings.best, 1)]
    return [Candidate(trial, tuple(found.get(trial.trial, ()))) for trial in best]


def _winner(search: Search, candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the candidate with the best mean; the best trial if none was trained again, or each has a failure."""
    tested = [one for one in candidates if one.mean is not None]
    if not tested:
        return candidates[0] if candidates else None
    pick = max if search.settings.maximizes else min
    return pick(tested, key=lambda one: one.mean or 0.0)


def _runs(chosen: Candidate) -> list[str]:
    """Return the runs of a candidate whose models are tested."""
    return [one.run for one in chosen.again if one.score is not None] or [chosen.trial.run]


def _best_run(chosen: Candidate) -> str:
    return _runs(chosen)[0]


def _test(search: Search, data: OpenData, runs: Sequence[str]) -> dict[str, Any] | None:
    """Evaluate the models of the winner on the test split; None if there is none."""
    accuracies, losses, n = [], [], 0
    for name in runs:
        run = Run.open(search.folder / name)
        source = data.pipeline(run.recipe).source
        if "test" not in source.splits:
            return None
        found = evaluate(run.artifact, source.split("test"))
        run.write("metrics.json", json.dumps({**run.metrics, "test": found}, indent=2))
        accuracies.append(found["accuracy"])
        losses.append(found["cross_entropy"])
        n = found["n"]
    std = statistics.stdev(accuracies) if len(accuracies) > 1 else None
    return {
        "accuracy": statistics.fmean(accuracies),
        "accuracy_std": std,
        "cross_entropy": statistics.fmean(losses),
        "accuracies": accuracies,
        "n": n,
        "runs": list(runs),
    }


def _described(one: Candidate) -> dict[str, Any]:
    return {
        "trial": one.trial.trial,
        "values": one.trial.values,
        "score_in_search": one.trial.score,
        "again": [vars(again) for again in one.again],
        "mean": one.mean,
        "std": one.std,
    }


def _again(search: Search, candidates: Sequence[Candidate]) -> str:
    seeds = len(candidates[0].again)
    parts = [
        f"trial {one.trial.trial} {_with_std(search, one)} (in the search {_shown(search, one.trial.score)})"
        for one in candidates
    ]
    return f"Trained again with {counted(seeds, 'seed')} that the search did not use: {'; '.join(parts)}."


def _regression(search: Search, tested: Sequence[Candidate], trials: int) -> str:
    """Return a sentence about the difference between the scores in the search and after it."""
    sign = 1 if search.settings.maximizes else -1
    falls = [sign * ((one.trial.score or 0.0) - (one.mean or 0.0)) for one in tested]
    fall = statistics.fmean(falls)
    whom = "the score of the search" if len(tested) == 1 else f"the scores of these {len(tested)} in the search"
    if fall <= 0:
        return f"On average {whom} did not fall when trained again: there is no sign of luck in the selection."
    return (
        f"On average {whom} fell by {_difference(search, fall)} when trained again: who selects the best of "
        f"{counted(trials, 'completed trial')} selects luck, too (regression to the mean)."
    )


def _test_sentence(test: dict[str, Any] | None, readings: int) -> str:
    if test is None:
        return "The data have no test split, so the winner has no score on images that nothing was chosen by."
    spread = f" +- {test['accuracy_std']:.2%}" if test["accuracy_std"] is not None else ""
    before = (
        "read once, for the winner alone"
        if readings == 1
        else f"read for the {readings}th time"
        if (readings > 3)
        else f"read for the {('second', 'third')[readings - 2]} time, since the search was enlarged"
    )
    return (
        f"Test split ({before}): accuracy {test['accuracy']:.2%}{spread} (n = {test['n']} images, "
        f"{counted(len(test['accuracies']), 'training')})."
    )


def _why_none(search: Search) -> str:
    failed = [one for one in search.records if one.reason]
    return f"for example trial {failed[0].trial}: {failed[0].reason}" if failed else "none was started."


def _with_std(search: Search, one: Candidate) -> str:
    if one.mean is None:
        return f"failed in {sum(again.score is None for again in one.again)} of {len(one.again)}"
    spread = f" +- {_difference(search, one.std, sign=False)}" if one.std is not None else ""
    return f"{_shown(search, one.mean)}{spread}"


def _shown(search: Search, value: float | None) -> str:
    """Return a score as text: accuracy in percent, loss with 4 decimals."""
    if value is None:
        return "none"
    return f"{value:.2%}" if search.settings.objective == "val_accuracy" else f"{value:.4f}"


def _difference(search: Search, value: float | None, sign: bool = True) -> str:
    value = value or 0.0
    if search.settings.objective == "val_accuracy":
        return f"{100 * value:.2f} points" if sign else f"{value:.2%}"
    return f"{value:.4f}"


def _sizes(search: Search) -> dict[str, int]:
    """Return the settings that may grow without another search."""
    settings = search.settings
    return {"trials": settings.limit, "best": settings.best, "seeds": settings.seeds}


def _name(trial: Trial, seed: int) -> str:
    return f"{name_of(trial.trial)}_{seed}"

"""The end of a search: the winner among the best trials, and the test split, which is read for it alone."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cnnrecipes.data.sources.random_access_dataset import Source
from cnnrecipes.runs.evaluation import evaluate
from cnnrecipes.runs.model_card import write_model_card
from cnnrecipes.runs.predictions import FILE, write_predictions
from cnnrecipes.runs.run import Run
from cnnrecipes.tuning.open_data import OpenData
from cnnrecipes.tuning.records import Trial
from cnnrecipes.tuning.retraining import Retraining, finalists, read_retraining, tasks
from cnnrecipes.tuning.search import Search, sizes_of

READINGS = "test_readings"  # key of search.json: one entry for each time that the test split was read


@dataclass(frozen=True)
class Candidate:
    """One of the best trials of a search, with its trainings after the search: the same recipe, other seeds."""

    trial: Trial
    again: tuple[Retraining, ...]

    @property
    def scores(self) -> list[float]:
        """The scores of the trainings after the search that did not fail."""
        return [one.score for one in self.again if one.score is not None]

    @property
    def failures(self) -> list[Retraining]:
        """The trainings after the search that failed."""
        return [one for one in self.again if one.score is None]

    @property
    def mean(self) -> float | None:
        """Mean of `scores`; None if a training failed, since the recipe cannot be relied on, or if there are none."""
        return statistics.fmean(self.scores) if self.again and not self.failures else None

    @property
    def std(self) -> float | None:
        """Standard deviation of `scores`, with n - 1; None for fewer than two."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else None

    @property
    def runs(self) -> list[str]:
        """Run folders of the models to test if this trial wins: its trainings after the search, else its own run."""
        return [one.run for one in self.again if one.score is not None] or [self.trial.run]


def conclude(search: Search, data: OpenData) -> dict[str, Any]:
    """Choose the winner, read the test split for it, and return the result of the search, without its sentences.

    The models of the last reading are not evaluated again: their metrics.json has what was read. A reading is recorded
    in search.json before it begins, so that none goes unrecorded.
    """
    candidates = find_candidates(search)
    chosen = choose(search, candidates)
    tested = None
    if chosen and _has_test(search, data, chosen):
        _record_reading(search, chosen)
        tested = _test(search, data, chosen.runs)
    return {
        "settings": sizes_of(search.settings),
        "counts": search.counts(),
        "winner": chosen.trial.trial if chosen else None,
        "values": chosen.trial.values if chosen else None,
        "best_run": chosen.runs[0] if chosen else None,
        "candidates": [_described(one) for one in candidates],
        "test": tested,
    }


def find_candidates(search: Search) -> list[Candidate]:
    """Return the best trials with their trainings after the search.

    Raises:
        RunError: one of these has no record, or a damaged one.
    """
    found: dict[int, list[Retraining]] = {}
    for trial, seed in tasks(search):
        found.setdefault(trial.trial, []).append(read_retraining(search, trial.trial, seed))
    best = finalists(search)[: max(search.settings.best, 1)]
    return [Candidate(trial, tuple(found.get(trial.trial, ()))) for trial in best]


def choose(search: Search, candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the candidate of the best mean; None if there is none that has a model.

    If each failed with a seed, the one of fewest failures is chosen, and of these the best one of the search.
    """
    sign = 1 if search.settings.maximizes else -1
    tested = [one for one in candidates if one.mean is not None]
    if tested:
        return max(tested, key=lambda one: sign * (one.mean or 0.0))
    usable = [one for one in candidates if one.scores or (search.folder / one.trial.run / "model.keras").is_file()]
    return min(usable, key=lambda one: len(one.failures), default=None)


def _has_test(search: Search, data: OpenData, chosen: Candidate) -> bool:
    return "test" in data.pipeline(Run.open(search.folder / chosen.runs[0]).recipe).source.splits


def _record_reading(search: Search, chosen: Candidate) -> None:
    """Record that the test split is read, unless all models were tested before, or the last reading was interrupted."""
    if all("test" in Run.open(search.folder / run).metrics for run in chosen.runs):
        return
    document = search.document
    readings: list[Mapping[str, Any]] = document.get(READINGS, [])
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    reading = {"when": now, "trial": chosen.trial.trial, "runs": chosen.runs}
    if not readings or readings[-1].get("runs") != chosen.runs:
        search.write({**document, READINGS: [*readings, reading]})


def _test(search: Search, data: OpenData, runs: Sequence[str]) -> dict[str, Any]:
    """Return the test metrics of the winner's models, each of which is evaluated once."""
    found = []
    for name in runs:
        run = Run.open(search.folder / name)
        metrics = run.metrics
        if "test" not in metrics:
            metrics = _measured(run, metrics, data.pipeline(run.recipe).source)
            run.write("metrics.json", json.dumps(metrics, indent=2))
        found.append(metrics["test"])
    accuracies = [one["accuracy"] for one in found]
    return {
        "accuracy": statistics.fmean(accuracies),
        "accuracy_std": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "cross_entropy": statistics.fmean(one["cross_entropy"] for one in found),
        "accuracies": accuracies,
        "n": found[0]["n"],
        "runs": list(runs),
    }


def _measured(run: Run, metrics: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """Evaluate a model, keep its predictions and write its model card; return the metrics with those of test.

    The validation metrics by which the search chose stay; what they lack is added.
    """
    validation = evaluate(run.artifact, source.split("validation"), temperature="fit", source=source)
    test = evaluate(run.artifact, source.split("test"), temperature=validation["temperature"], source=source)
    both = {"validation": validation.predictions, "test": test.predictions}
    write_predictions(run.folder / FILE, list(both.values()))
    complete = {**metrics, "validation": {**validation, **metrics["validation"]}, "test": dict(test)}
    write_model_card(run.folder, run.recipe, complete, both)
    return complete


def _described(one: Candidate) -> dict[str, Any]:
    return {
        "trial": one.trial.trial,
        "values": one.trial.values,
        "score_in_search": one.trial.score,
        "again": [vars(again) for again in one.again],
        "mean": one.mean,
        "std": one.std,
    }

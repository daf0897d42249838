"""The comparison of runs on one page: results, curves over each other, differences of recipes and classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cnnrecipes._support.atomic_files import check_writable, write_text
from cnnrecipes._support.user_cache import storable
from cnnrecipes.errors import RunError
from cnnrecipes.recipe.schema import dotted
from cnnrecipes.report.facts import FINAL, Facts, facts_of
from cnnrecipes.report.line_chart import Plot, Series, epoch_axis, legend, thinned, value_axis
from cnnrecipes.report.page import document
from cnnrecipes.report.section import MISSING, Section, duration, render
from cnnrecipes.report.sections.answer import result_of
from cnnrecipes.runs.classification_metrics import per_class
from cnnrecipes.runs.predictions import Predictions
from cnnrecipes.runs.records import PARAMETERS
from cnnrecipes.runs.run import Run

MOST = 8  # runs on a page: as many as there are colors
_ALPHA = 0.05
_CLASSES = 1000  # rows
_FEW = 12  # epochs up to which each is marked by a dot


def write_comparison(
    runs: Sequence[Run | str | os.PathLike], *, split: str | None = None, path: str | os.PathLike
) -> Path:
    """Write a page that compares runs as one HTML file that loads nothing, and return its path.

    Args:
        runs: 2 to 8 runs, or the paths of their folders; the others are compared with the first.
        split: "validation" or "test", whose predictions are compared; None: validation, or test where a run has none.
            Runs that are chosen by the test split need other images for their accuracy.
        path: file to write.

    Raises:
        RunError: fewer than 2 or more than 8 runs, one of them twice, or not a run folder.
        WriteError: the file cannot be written.
    """
    opened = [Run.open(Path(run) if isinstance(run, os.PathLike) else run) for run in runs]
    if not 2 <= len(opened) <= MOST:
        raise RunError(f"there are {len(opened)} runs to compare; give 2 to {MOST}")
    if len({run.folder.resolve() for run in opened}) < len(opened):
        raise RunError("a run is given twice; give different runs")
    if split not in (None, *FINAL):
        raise RunError(f"runs are compared on the validation or the test split, not on {split!r}; give one of them")
    target = check_writable(path)
    facts = [facts_of(run) for run in opened]
    write_text(target, storable(comparison_page(facts, names_of(opened), split)))
    return target


def comparison_page(runs: Sequence[Facts], names: Sequence[str], split: str | None = None) -> str:
    """Return the HTML document that compares runs; what some of them lack is told."""
    predictions, chosen = _predictions(runs, split)
    sections = [
        _results(runs, names, predictions, chosen),
        _curves(runs, names),
        _recipes(runs, names),
        _classes(predictions, names, chosen),
    ]
    title = " and ".join(names) if len(names) == 2 else f"{len(names)} runs"
    return document(f"Comparison of {title}", heading=title, kind="Comparison of runs", sections=sections)


def names_of(runs: Sequence[Run]) -> list[str]:
    """Return the names of the folders of runs, or, if some are equal, their paths below the folder that has all."""
    paths = [run.folder.resolve() for run in runs]
    if len({path.name for path in paths}) == len(paths):
        return [path.name for path in paths]
    common = os.path.commonpath(paths)
    return [os.path.relpath(path, common) for path in paths]


def _predictions(runs: Sequence[Facts], split: str | None) -> tuple[list[Predictions], str]:
    """Return the predictions of all runs on one split; [] and the reason if they cannot be compared."""
    wanted = [split] if split else ["validation", "test"]
    common = next((one for one in wanted if all(one in run.predictions for run in runs)), None)
    if common is None:
        return [], "not all runs have kept predictions of the same split"
    found = [run.predictions[common] for run in runs]
    if len({one.class_names for one in found}) > 1:
        return [], "the runs have different classes"
    if len({one.images for one in found}) > 1 or len({len(one.truth) for one in found}) > 1:
        return [], f"the runs have different {common} images: their accuracies are of other images"
    return found, common


def _results(runs: Sequence[Facts], names: Sequence[str], predictions: Sequence[Predictions], split: str) -> Section:
    rows = []
    for kind, (name, facts) in enumerate(zip(names, runs, strict=True)):
        metrics, result = facts.metrics or {}, result_of(facts)
        rows.append(
            {
                "name": name,
                "kind": f"run{kind}",
                "state": facts.state,
                "model": facts.recipe.model.name,
                "parameters": metrics.get(PARAMETERS),
                "time": duration(facts.seconds) if facts.epochs else MISSING,
                "epochs": facts.epochs,
                "so_far": result.accuracy if result is not None and not metrics else None,
                "splits": [metrics.get(one) for one in FINAL],
            }
        )
    sentences = [
        _difference(predictions[0], predictions[place], names[0], names[place], comparisons=len(predictions) - 1)
        for place in range(1, len(predictions))
    ]
    body = render(
        "compare_results.html",
        rows=rows,
        splits=FINAL,
        sentences=sentences,
        why="" if predictions else split,
    )
    return Section("answer", "Result", body)


def _difference(first: Predictions, other: Predictions, first_name: str, name: str, *, comparisons: int) -> str:
    """Return which of two runs is better on the same images, by McNemar's exact test with Bonferroni's correction."""
    from scipy.stats import binomtest  # takes half a second

    only_first, only_other = int((first.right & ~other.right).sum()), int((other.right & ~first.right).sum())
    n, disagree = len(first.truth), only_first + only_other
    p = min(binomtest(only_other, disagree).pvalue * comparisons, 1.0) if disagree else 1.0
    points = 100 * (only_other - only_first) / n
    about = (
        f"{other.right.mean():.1%} against {first.right.mean():.1%} on {n:,} {first.split} images, {points:+.1f} "
        f"points; only {name} is right on {only_other:,}, only {first_name} on {only_first:,}; McNemar's exact test, "
        f"p = {p:.2g}{' (corrected)' if comparisons > 1 else ''}"
    )
    if p < _ALPHA:
        return f"{name} is {'better' if points > 0 else 'worse'} than {first_name}: {about}."
    return f"{name} and {first_name} cannot be told apart on these images: {about}."


def _curves(runs: Sequence[Facts], names: Sequence[str]) -> Section:
    plots = []
    for column, title in (("val_loss", "Validation loss"), ("val_accuracy", "Validation accuracy")):
        series = [
            _series(facts.history, column, name, place)
            for place, (facts, name) in enumerate(zip(runs, names, strict=True))
            if facts.history is not None and column in facts.history
        ]
        if series:
            axis = value_axis([one.y for one in series], percent=column == "val_accuracy")
            plots.append(Plot(f"compare-{column}", title, series, epoch_axis([one.x for one in series]), axis))
    if not plots:
        return Section("curves", "Curves", why="no run has validated epochs")
    return Section("curves", "Curves", render("compare_curves.html", plots=plots, legend=legend(plots[0].series)))


def _series(history: pd.DataFrame, column: str, name: str, place: int) -> Series:
    some = thinned(np.arange(len(history)))
    x, y = (history[key].to_numpy(float)[some] for key in ("epoch", column))
    return Series(name, f"run{place}", x, y, dots=len(some) <= _FEW)


def _recipes(runs: Sequence[Facts], names: Sequence[str]) -> Section:
    tables = [dotted(facts.recipe.to_dict()) for facts in runs]
    keys = dict.fromkeys(key for table in tables for key in table if key != "name")
    rows = [
        (key, [_text(table.get(key)) for table in tables])
        for key in keys
        if any(table.get(key) != tables[0].get(key) for table in tables[1:])
    ]
    return Section("recipes", "Recipes", render("compare_recipes.html", rows=rows, names=names))


def _text(value: object) -> str:
    if value is None:
        return "default"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _classes(predictions: Sequence[Predictions], names: Sequence[str], split: str) -> Section:
    if not predictions:
        return Section("classes", "Classes", why=split)
    tables = [per_class(one) for one in predictions]
    recalls = np.stack([table["recall"].to_numpy(float) for table in tables], axis=1)
    differences = recalls[:, -1] - recalls[:, 0]
    order = np.argsort(-np.abs(np.nan_to_num(differences)), kind="stable")[:_CLASSES]
    rows = [
        {
            "name": str(tables[0]["class"].iloc[i]),
            "n": int(tables[0]["n"].iloc[i]),
            "recalls": [float(value) if np.isfinite(value) else None for value in recalls[i]],
            "difference": float(differences[i]) if np.isfinite(differences[i]) else None,
        }
        for i in order.tolist()
    ]
    body = render("compare_classes.html", rows=rows, names=names, split=split)
    return Section("classes", "Classes", body)

"""`label_issues`: the images of a data set whose labels are probably wrong, as a table and a CSV file to edit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cnnrecipes._support.atomic_files import check_writable, write_whole
from cnnrecipes.data.label_corrections import FILE, GIVEN, LABEL, read_corrections
from cnnrecipes.debug.out_of_fold import out_of_fold
from cnnrecipes.explain.label_noise import find_label_issues
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe, dotted
from cnnrecipes.runs.run import Run

FOLDS = 5


def label_issues(
    recipe: str | Path | Mapping[str, Any] | Recipe | Run,
    data: Any = None,
    *,
    folds: int = FOLDS,
    seed: int | None = None,
    path: str | os.PathLike | None = None,
    accept: bool = False,
    progress: bool = True,
    **changes: Any,
) -> pd.DataFrame:
    """Return the training and validation images whose labels are probably wrong, by confident learning.

    The recipe is trained `folds` times, and each image is judged by the model that has not seen it: of a transfer
    recipe logistic regressions on frozen features are trained, in seconds, of others the whole recipe. The test split
    is not read. See `explain.find_label_issues`.

    Args:
        recipe, data, seed, progress, changes: as in `fit`; or a run, for its recipe.
        folds: number of trainings, at least 2.
        path: CSV file to write, which `data.corrections` takes after you have edited its column label; an existing one
            is replaced. None: not written.
        accept: fill the column label with the suggested class; False: leave it empty, which keeps the label.

    Returns:
        columns file, position, given, suggested (class names) and score: the probability of the given label, 0..1, by a
        model that has not seen the image; the lowest first. `attrs` has "images", the number of images judged.

    Raises:
        DataError: a class has a single image, or the data cannot be read.
        WriteError: the file cannot be written.
        CNNRecipesError: as for `fit`.
    """
    if path is not None:
        check_writable(path)
    base = recipe.recipe if isinstance(recipe, Run) else catalog.load(recipe)
    found = out_of_fold(base, data, folds=folds, seed=seed, progress=progress, changes=changes)
    issues = find_label_issues(found.labels, found.probabilities)
    index, names = issues["index"].tolist(), found.class_names
    table = pd.DataFrame(
        {
            "file": [found.files[i] for i in index],
            "position": found.positions[index],
            "given": [names[i] for i in issues["given"].tolist()],
            "suggested": [names[i] for i in issues["suggested"].tolist()],
            "score": issues["score"],
        }
    )
    table.attrs["images"] = len(found.labels)
    if path is not None:
        before = dotted(changes).get("data.corrections", base.data.corrections)
        write_label_issues(table, path, accept=accept, corrections=before)
    return table


def write_label_issues(
    issues: pd.DataFrame,
    path: str | os.PathLike,
    *,
    accept: bool = False,
    corrections: str | Path | None = None,
) -> None:
    """Write a table of `label_issues` as a CSV file that `data.corrections` takes: with a column label to edit.

    Args:
        issues: the table.
        path: the file; an existing one is replaced.
        accept: fill the column label with the suggested class; False: leave it empty, which keeps the label.
        corrections: the corrections with which the issues were found, which are kept: their rows follow.

    Raises:
        DataError: `corrections` cannot be read.
        WriteError: the file cannot be written.
    """
    table = issues.assign(**{LABEL: issues["suggested"] if accept else ""})
    if corrections is not None:
        before = {name: row for name, row in read_corrections(corrections).items() if row[0]}
        for place, name in enumerate(table[FILE]):
            if name in before:
                label, given = before[name]
                table.loc[place, [GIVEN, LABEL]] = [given, table.loc[place, LABEL] or label]
        rest = [(name, given, label) for name, (label, given) in before.items() if name not in set(table[FILE])]
        table = pd.concat([table, pd.DataFrame(rest, columns=[FILE, GIVEN, LABEL])], ignore_index=True)
    content = table.to_csv(index=False, lineterminator="\n").encode("utf-8", "surrogateescape")
    write_whole(Path(path), lambda beside: beside.write_bytes(content))

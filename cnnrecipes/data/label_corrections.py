"""Corrections of labels, from a CSV file that names images and their right classes: `data.corrections`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from cnnrecipes._support.console import silent
from cnnrecipes.data.image_names import image_names
from cnnrecipes.data.sources.random_access_dataset import Source
from cnnrecipes.errors import DataError, counted, did_you_mean, nearest, one_line

FILE, GIVEN, LABEL = "file", "given", "label"  # columns; `given` is optional


def with_corrections(source: Source, path: str | Path, say: Callable[[str], None] = silent) -> Source:
    """Return a source with the labels of a CSV file in place of its own.

    Args:
        source: the data with the splits that it contains itself.
        path: see `read_corrections`.
        say: receives the number of changed labels.

    Raises:
        DataError: the file cannot be read; or it names an image or a class that the data does not have, or as `given`
            another label than that of the data.
    """
    rows = read_corrections(path)
    numbers = {name: number for number, name in enumerate(source.class_names)}
    left, changed, splits, problems = dict(rows), 0, {}, list[str]()
    for name, split in source.splits.items():
        labels = split.labels.copy()
        for place, image in enumerate(image_names(split, source)):
            if image not in left:
                continue
            label, given = left.pop(image)
            now = source.class_names[int(labels[place])]
            if given and given != now:
                problems.append(f"{path}: {image!r} has the label {now!r} in the data, and is given as {given!r}")
            elif label and label not in numbers:
                problems.append(f"{path}: {image!r} has no class {label!r}{nearest(label, numbers)}")
            elif label:
                changed += label != now
                labels[place] = numbers[label]
        splits[name] = replace(split, labels=labels)
    problems += [_unknown(image, source, path) for image in left]
    if problems:
        raise DataError.of(problems)
    say(f"{path}: {counted(changed, 'label')} corrected")
    return replace(source, splits=splits)


def read_corrections(path: str | Path) -> Mapping[str, tuple[str, str]]:
    """Return the rows of a CSV file of corrections: image -> (label, given label); "" where a cell is empty.

    The columns are file (the name of an image as in predictions.parquet, its path relative to the data folder, or
    "train[17]"), label (the right class; empty: unchanged) and optionally given (the class in the data, which is
    checked). Others are ignored.

    Raises:
        DataError: the file does not exist, has no such columns, or names an image twice with different labels.
    """
    try:
        table = pd.read_csv(
            path, dtype=str, keep_default_na=False, encoding="utf-8-sig", encoding_errors="surrogateescape"
        )
    except FileNotFoundError:
        raise DataError(
            f"data.corrections = {str(path)!r} does not exist; restore the file, or leave data.corrections out"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read data.corrections = {str(path)!r} as CSV ({one_line(error)})") from None
    if missing := [name for name in (FILE, LABEL) if name not in table.columns]:
        raise DataError(
            f"data.corrections = {str(path)!r} has no column {' and no column '.join(missing)}; it has "
            f"{', '.join(map(str, table.columns))}; `cnnrecipes label-issues` writes such a file"
        )
    given = table[GIVEN] if GIVEN in table.columns else [""] * len(table)
    rows: dict[str, tuple[str, str]] = {}
    for image, label, before in zip(table[FILE], table[LABEL], given, strict=True):
        if image in rows and rows[image][0] != label:
            raise DataError(f"{path}: {image!r} has two labels, {rows[image][0]!r} and {label!r}; remove one row")
        rows[image] = (label, before)
    return rows


def _unknown(image: str, source: Source, path: str | Path) -> str:
    near = did_you_mean(image, [name for split in source.splits.values() for name in image_names(split, source)])
    return f"{path}: {source.name} has no image {image!r}{near}; remove the row, or give the data that it was made for"

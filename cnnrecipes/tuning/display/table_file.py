"""The trials of a search as a file: Parquet, or CSV."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from cnnrecipes._support.atomic_files import check_writable, write_whole
from cnnrecipes.errors import RunError

_SUFFIXES = (".parquet", ".csv")


def write_trials(trials: pd.DataFrame, folder: Path, path: str | Path | None) -> Path:
    """Write a table of trials and return its path; arguments and errors as of `Search.write_table`.

    In columns with lists or with several types, as choices may have, values are written as JSON.
    """
    path = folder / "trials.parquet" if path is None else Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise RunError(f"{str(path)!r} has the suffix {path.suffix!r}; give {' or '.join(_SUFFIXES)}")
    check_writable(path)
    table = trials.apply(_storable)
    if path.suffix.lower() == ".csv":
        write_whole(path, lambda beside: table.to_csv(beside, index=False))
        return path
    write_whole(path, lambda beside: table.to_parquet(beside, index=False, engine="pyarrow"))
    return path


def _storable(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column with values of one type: objects that differ in type, or are lists, as JSON."""
    if column.dtype != object:
        return column
    kinds = {type(value) for value in column if value is not None}
    if len(kinds) <= 1 and not kinds & {list, dict, tuple}:
        return column
    return column.map(lambda value: None if value is None else json.dumps(value))

"""Tables of image paths and labels: CSV, TSV and Parquet files, and DataFrames."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnnrecipes._support import file_systems
from cnnrecipes.data.images.image_store import EncodedImages, Pool
from cnnrecipes.data.sources.contents import SPLITS, Contents
from cnnrecipes.data.sources.data_source_base import Absent, PathSource, ReadOptions, local_path
from cnnrecipes.data.sources.registry import data_source
from cnnrecipes.data.sources.split_names import split_of
from cnnrecipes.errors import DataError, counted

ENDINGS = (".csv", ".tsv", ".parquet")
# Accepted column names; the first one that a table has is used.
COLUMNS = {
    "path": ("path", "file", "filename", "filepath", "file_name", "image", "image_path"),
    "label": ("label", "class", "class_name", "target", "category"),
    "split": ("split", "set", "subset", "partition"),
    "group": ("group", "group_id", "patient", "patient_id", "subject", "subject_id"),
}
# Cells of a text file that are missing values.
GAPS = ("", "NA", "N/A", "#N/A", "NaN", "nan", "<NA>", "NULL", "null")
_WHOLE = r"-?(?:0|[1-9]\d*)(?:\.0*)?"
HOW = "; ".join(f"{use}: {', '.join(names)}" for use, names in COLUMNS.items())


@data_source("table", order=20)
class Table(PathSource):
    """A DataFrame, or a CSV, TSV or Parquet file, recognized by its suffix."""

    form = "a table"

    def matches(self, data: Any) -> bool:
        if isinstance(data, pd.DataFrame):
            return True
        return isinstance(data, (str, Path)) and str(data).lower().endswith(ENDINGS)

    def read(self, data: str | Path | pd.DataFrame, options: ReadOptions) -> Contents:
        return read(data if isinstance(data, pd.DataFrame) else local_path(data), options.training)

    def shown_name(self, data: str | Path | pd.DataFrame) -> str:
        return "arrays" if isinstance(data, pd.DataFrame) else str(data)

    def recorded_name(self, data: str | Path | pd.DataFrame) -> str:
        return "arrays" if isinstance(data, pd.DataFrame) else super().recorded_name(data)

    def absent(self, data: str | Path | pd.DataFrame) -> Absent | None:
        return None if isinstance(data, pd.DataFrame) else super().absent(data)


def read(table: str | pd.DataFrame, training: bool = True) -> Contents:
    """Return the contents of a table; its class names are the sorted labels.

    Columns: a path and a label; optionally a split (train, val, validation, test) and a group, whose rows stay in one
    split. Paths are relative to the table's folder, those of a DataFrame to the working directory; backslashes are
    separators, too. The image files are not opened.

    Args:
        training: require rows of the training split.

    Raises:
        DataError: the table cannot be read, lacks a path or label column, or has missing values in them.
    """
    name = "the DataFrame" if isinstance(table, pd.DataFrame) else repr(str(table))
    frame = table if isinstance(table, pd.DataFrame) else _load(str(table), name)
    columns = _columns(frame, name)
    for use, column in columns.items():
        gaps = np.flatnonzero(frame[column].isna())
        if use != "group" and gaps.size:
            raise DataError(
                f"{name} has no {use} in {gaps.size} rows, first in row {gaps[0] + 1}; fill or drop these rows "
                f"({', '.join(GAPS[1:])} and empty cells are missing values)"
            )
    base = "" if isinstance(table, pd.DataFrame) else file_systems.parent(str(table))
    paths = [_located(base, _slashed(base, str(path))) for path in frame[columns["path"]]]
    class_names, labels = _classes(frame[columns["label"]], name)
    groups = pd.factorize(frame[columns["group"]])[0] if "group" in columns else None
    if groups is not None:  # each row without a group becomes a group
        alone = groups < 0
        groups = np.where(alone, groups.max() + 1 + np.cumsum(alone), groups)
    splits = _splits(frame[columns["split"]], name) if "split" in columns else np.full(len(frame), "train")
    if training and "train" not in splits:
        raise DataError(f"{name} has no row of split train; give some, or leave the split column out")
    pools = {}
    for split in SPLITS:
        rows = np.flatnonzero(splits == split)
        if rows.size:
            some = None if groups is None else groups[rows]
            pools[split] = Pool(EncodedImages([paths[row] for row in rows]), labels[rows], some)
    problems = [] if groups is None or not training else _shared_groups(frame[columns["group"]], splits, name)
    return Contents(class_names, pools, problems=tuple(problems))


def _shared_groups(groups: pd.Series, splits: np.ndarray, name: str) -> list[str]:
    """Return a message about groups with rows in two splits, which is leakage; an empty list if there are none."""
    found = pd.DataFrame({"group": groups.to_numpy(), "split": splits}).dropna().groupby("group")["split"].unique()
    shared = found[found.map(len) > 1]
    if shared.empty:
        return []
    return [
        f"{name} has {counted(len(shared), 'group')} in two splits, for example {shared.index[0]!r} in "
        f"{' and '.join(sorted(shared.iloc[0]))}; put all rows of a group into one split"
    ]


def _load(path: str, name: str) -> pd.DataFrame:
    try:
        content = io.BytesIO(file_systems.read(path))
        if path.lower().endswith(".parquet"):
            return pd.read_parquet(content)
        separator = "\t" if path.lower().endswith(".tsv") else ","
        header = pd.read_csv(content, sep=separator, header=None, nrows=1, dtype=str).iloc[0].tolist()
        repeated = sorted({str(column) for column in header if header.count(column) > 1})
        if repeated:
            raise DataError(f"{name} has the column {repeated[0]!r} more than once; rename or remove one")
        content.seek(0)
        # All cells are text: "007" would lose its zeros, and "None" may be a class.
        frame = pd.read_csv(content, sep=separator, dtype=str, keep_default_na=False, na_values=GAPS)
        if not isinstance(frame.index, pd.RangeIndex):
            raise DataError(f"{name} has more cells in its rows than columns in its first line; name every column")
        return frame
    except DataError:  # also a ValueError
        raise
    except OSError as error:
        near = file_systems.nearest(path) if isinstance(error, FileNotFoundError) else ""
        raise DataError(
            f"cannot read {name}: {error.strerror or error}{near}; check the path and its permissions"
        ) from None
    except (ValueError, ImportError) as error:  # from pandas: invalid content, or no Parquet reader installed
        raise DataError(
            f"cannot read {name} as a table: {str(error).partition(chr(10))[0]}; correct the file"
        ) from None


def _columns(frame: pd.DataFrame, name: str) -> dict[str, str]:
    """Return a dict of "path", "label", ... to column. Raise DataError for missing or ambiguous columns."""
    if frame.empty:
        raise DataError(f"{name} has no rows; give one row per image")
    found = {}
    given = [str(column) for column in frame.columns]
    lowered = [column.strip().lower() for column in given]
    repeated = sorted({column for column in lowered if lowered.count(column) > 1})
    if repeated:
        raise DataError(f"{name} has the column {repeated[0]!r} more than once; rename or remove one")
    for use, names in COLUMNS.items():
        known = [lowered.index(column) for column in names if column in lowered]
        if known:
            found[use] = frame.columns[known[0]]
    missing = [use for use in ("path", "label") if use not in found]
    if missing:
        raise DataError(f"{name} has the columns {', '.join(given)}, and none for the {missing[0]}; rename one ({HOW})")
    return found


def _classes(labels: pd.Series, name: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the class names and the class numbers (N,); the names are sorted, numerically if all are integers."""
    unfit = [label for label in labels if not isinstance(label, (str, int, float, np.number, np.bool_))]
    unfit += [label for label in labels if isinstance(label, (float, np.floating)) and not np.isfinite(label)]
    if unfit:
        raise DataError(f"{name} has the label {unfit[0]!r}; give names or numbers")
    texts = labels.astype(str)
    if texts.str.fullmatch(_WHOLE).all():
        texts = texts.str.partition(".")[0]
        order = sorted(texts.unique(), key=int)
    else:
        order = sorted(texts.unique())
    return tuple(order), pd.Categorical(texts, categories=order).codes.astype(np.int32)


def _splits(column: pd.Series, name: str) -> np.ndarray:
    texts = [str(split).strip() for split in column]
    known = {text: split_of(text) for text in set(texts)}
    unknown = sorted(text for text, split in known.items() if split is None)
    if unknown:
        raise DataError(
            f"{name} has the split {unknown[0]!r}; use train, validation or test, or one of their usual names"
        )
    return np.asarray([known[text] for text in texts])


def _slashed(base: str, path: str) -> str:
    """Return a path with backslashes replaced by slashes; unchanged if it exists with backslashes."""
    if "\\" not in path or os.sep == "\\" or file_systems.is_remote(path) or os.path.lexists(os.path.join(base, path)):
        return path
    return path.replace("\\", "/")


def _located(base: str, path: str) -> str:
    if file_systems.is_remote(path) or not base or Path(path).is_absolute():
        return path
    return file_systems.join(base, path)

"""A table of images: a CSV, TSV or Parquet file, or a DataFrame, with a path and a label in each row."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cnnrecipes._support import remote_files
from cnnrecipes.data.images.image_store import EncodedImages, Pool
from cnnrecipes.data.sources.folder_layout import Contents
from cnnrecipes.data.sources.split_names import split_of
from cnnrecipes.errors import DataError, counted

ENDINGS = (".csv", ".tsv", ".parquet")
# What people call the columns, the first one found counting.
COLUMNS = {
    "path": ("path", "file", "filename", "filepath", "file_name", "image", "image_path"),
    "label": ("label", "class", "class_name", "target", "category"),
    "split": ("split", "set", "subset", "partition"),
    "group": ("group", "group_id", "patient", "patient_id", "subject", "subject_id"),
}
# What stands for nothing in a cell of a text file.
GAPS = ("", "NA", "N/A", "#N/A", "NaN", "nan", "<NA>", "NULL", "null")
_WHOLE = r"-?(?:0|[1-9]\d*)(?:\.0*)?"
HOW = "; ".join(f"{use}: {', '.join(names)}" for use, names in COLUMNS.items())


def is_table(text: str) -> bool:
    """Return whether a path is a table, by its suffix."""
    return text.lower().endswith(ENDINGS)


def read(table: str | pd.DataFrame, training: bool = True) -> Contents:
    """Class names, sorted, splits, and groups that are in two of them.

    Paths are relative to the table's folder, a DataFrame's to the working folder; backslashes are separators too.
    Columns: a path and a label; where there are, a split (train, val, validation, test) and a group, which keeps to
    one split. Images that cannot be read are found when they are read.

    training: whether there must be rows to train on.

    Raises:
        DataError: a table that cannot be read, without these columns, or with gaps in them.
    """
    name = "the DataFrame" if isinstance(table, pd.DataFrame) else repr(str(table))
    frame = table if isinstance(table, pd.DataFrame) else _load(str(table), name)
    columns = _columns(frame, name)
    for use, column in columns.items():
        gaps = np.flatnonzero(frame[column].isna())
        if use != "group" and gaps.size:
            raise DataError(
                f"{name} has no {use} in {gaps.size} rows, first in row {gaps[0] + 1}; fill or drop them "
                f"({', '.join(GAPS[1:])} and an empty cell mean none)"
            )
    base = "" if isinstance(table, pd.DataFrame) else remote_files.parent(str(table))
    paths = [_located(base, _slashed(base, str(path))) for path in frame[columns["path"]]]
    class_names, labels = _classes(frame[columns["label"]], name)
    groups = pd.factorize(frame[columns["group"]])[0] if "group" in columns else None
    if groups is not None:  # a row without a group is one of its own
        alone = groups < 0
        groups = np.where(alone, groups.max() + 1 + np.cumsum(alone), groups)
    splits = _splits(frame[columns["split"]], name) if "split" in columns else np.full(len(frame), "train")
    if training and "train" not in splits:
        raise DataError(f"{name} has no row of split train; give some, or leave the split column out")
    pools = {}
    for split in ("train", "validation", "test"):
        rows = np.flatnonzero(splits == split)
        if rows.size:
            some = None if groups is None else groups[rows]
            pools[split] = Pool(EncodedImages([paths[row] for row in rows]), labels[rows], some)
    problems = [] if groups is None or not training else _shared_groups(frame[columns["group"]], splits, name)
    return Contents(class_names, pools, problems=tuple(problems))


def _shared_groups(groups: pd.Series, splits: np.ndarray, name: str) -> list[str]:
    """Return the problems of groups with rows in two splits, which leak from one split into the other."""
    found = pd.DataFrame({"group": groups.to_numpy(), "split": splits}).dropna().groupby("group")["split"].unique()
    shared = found[found.map(len) > 1]
    if shared.empty:
        return []
    return [
        f"{name} has {counted(len(shared), 'group')} in two splits, as {shared.index[0]!r} in "
        f"{' and '.join(sorted(shared.iloc[0]))}; put all rows of a group into one split"
    ]


def _load(path: str, name: str) -> pd.DataFrame:
    try:
        content = io.BytesIO(remote_files.read(path))
        if path.lower().endswith(".parquet"):
            return pd.read_parquet(content)
        separator = "\t" if path.lower().endswith(".tsv") else ","
        header = pd.read_csv(content, sep=separator, header=None, nrows=1, dtype=str).iloc[0].tolist()
        repeated = sorted({str(column) for column in header if header.count(column) > 1})
        if repeated:
            raise DataError(f"{name} has the column {repeated[0]!r} more than once; rename or remove one")
        content.seek(0)
        # As text, since "007" is no number and "None" may be a class.
        frame = pd.read_csv(content, sep=separator, dtype=str, keep_default_na=False, na_values=GAPS)
        if not isinstance(frame.index, pd.RangeIndex):
            raise DataError(f"{name} has more cells in its rows than columns in its first line; name every column")
        return frame
    except DataError:  # a ValueError too
        raise
    except OSError as error:
        near = remote_files.nearest(path) if isinstance(error, FileNotFoundError) else ""
        raise DataError(f"cannot read {name}: {error.strerror or error}{near}") from None
    except (ValueError, ImportError) as error:  # what pandas raises for no table, and for no Parquet reader
        raise DataError(f"cannot read {name} as a table: {str(error).partition(chr(10))[0]}") from None


def _columns(frame: pd.DataFrame, name: str) -> dict[str, str]:
    """use -> the column of it. Raises DataError where path or label are missing, or twice there."""
    if frame.empty:
        raise DataError(f"{name} has no rows")
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
        raise DataError(f"{name} has the columns {', '.join(given)}, and none for the {missing[0]} ({HOW})")
    return found


def _classes(labels: pd.Series, name: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Class names and (N,) labels; the names are in their order, that of numbers where all are whole ones."""
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


def _splits(column: Sequence[str], name: str) -> np.ndarray:
    texts = [str(split).strip() for split in column]
    known = {text: split_of(text) for text in set(texts)}
    unknown = sorted(text for text, split in known.items() if split is None)
    if unknown:
        raise DataError(f"{name} has the split {unknown[0]!r}; known: train, val, validation, test and the like")
    return np.asarray([known[text] for text in texts])


def _slashed(base: str, path: str) -> str:
    """A path as Windows writes it, with the slashes of this system; one that exists as it is stays as it is."""
    if "\\" not in path or os.sep == "\\" or remote_files.is_remote(path) or os.path.lexists(os.path.join(base, path)):
        return path
    return path.replace("\\", "/")


def _located(base: str, path: str) -> str:
    if remote_files.is_remote(path) or not base or Path(path).is_absolute():
        return path
    return remote_files.join(base, path)

"""watch.csv of a run: statistics of each layer at single steps of the training, and histograms in fixed bins."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnnrecipes._support.atomic_files import write_text
from cnnrecipes.errors import RunError, one_line

FILE = "watch.csv"  # in a run folder
STATISTICS = ("mean", "std", "dead", "nonfinite", "gradient_norm", "weight_norm", "update_ratio")
_LOWEST, _HIGHEST = -7, 7  # exponents of 2, of the magnitudes at which the first and the last bin end
_SIDE = _HIGHEST - _LOWEST + 1  # bins on each side of the one around 0
_MAGNITUDES = [2.0**exponent for exponent in range(_LOWEST, _HIGHEST + 1)]

# Bin i has the values from EDGES[i] to EDGES[i + 1]; magnitudes double from bin to bin.
EDGES = np.array([-np.inf, *(-size for size in reversed(_MAGNITUDES)), *_MAGNITUDES, np.inf])
BINS = tuple(f"bin_{number}" for number in range(len(EDGES) - 1))
COLUMNS = ("step", "layer", "kind", *STATISTICS, *BINS)


def histogram(values: np.ndarray) -> np.ndarray:
    """Return the number of finite values in each bin of `EDGES`, (bins,) int64; `values` are float, of any shape."""
    finite = values[np.isfinite(values)]
    exponent = np.frexp(finite)[1] - 1  # floor(log2(|x|)), several times faster than a search of the edges
    size = np.clip(exponent - _LOWEST + 1, 0, _SIDE)
    size[finite == 0] = 0
    return np.bincount(_SIDE + np.where(finite < 0, -size, size), minlength=len(BINS))


class WatchFile:
    """Writes watch.csv atomically, steps in order; the file is always complete up to its last step.

    Args:
        path: the file; it is written at the first `add`.
    """

    def __init__(self, path: Path):
        self.path = path
        self._texts: dict[int, str] = {}  # the lines of each step, rendered once

    def keep_before(self, step: int) -> None:
        """Continue an existing file with its rows before `step`; a training that is resumed makes the others again.

        A damaged file is replaced.
        """
        self._texts = {}
        if not self.path.is_file():
            return
        try:
            table = read_watch(self.path)
        except RunError:
            return
        for number, rows in table[table["step"] < step].groupby("step", sort=True):
            self._texts[int(str(number))] = _lines(rows.to_dict("records"))

    def table(self, step: int = 0) -> pd.DataFrame:
        """Return the rows from `step` on, without the histograms."""
        text = "".join(lines for number, lines in self._texts.items() if number >= step)
        columns = ["step", "layer", "kind", *STATISTICS]
        return _read(io.StringIO(f"{','.join(COLUMNS)}\n{text}"), usecols=columns)

    def add(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add the rows of a step, and drop those of the same and of later steps. Raises WriteError.

        Args:
            step: number of completed steps.
            rows: one for each layer, with the other COLUMNS.
        """
        self._texts = {number: text for number, text in self._texts.items() if number < step}
        self._texts[step] = _lines([{**row, "step": step} for row in rows])
        write_text(self.path, ",".join(COLUMNS) + "\n" + "".join(self._texts.values()))


def read_watch(path: Path) -> pd.DataFrame:
    """Read watch.csv. Raises RunError if it is damaged."""
    try:
        table = _read(path)
        if missing := [name for name in COLUMNS if name not in table.columns]:
            raise ValueError(f"it has no column {', '.join(missing[:5])}")
        for name in ("step", *STATISTICS, *BINS):
            if not pd.api.types.is_numeric_dtype(table[name]):
                raise ValueError(f"its column {name!r} has values that are not numbers")
    except (ValueError, OSError) as error:
        raise RunError(f"cannot read {str(path)!r} ({one_line(error)}); restore it, or train again") from None
    return table


_NAN = {name: ["nan", ""] for name in STATISTICS}


def _read(file: Path | io.StringIO, usecols: list[str] | None = None) -> pd.DataFrame:
    return pd.read_csv(file, dtype={"layer": str, "kind": str}, keep_default_na=False, na_values=_NAN, usecols=usecols)


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as lines of CSV; six digits, so that a file that is read and written again stays the same."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        numbers = [f"{row[name]:.6g}" for name in STATISTICS]
        writer.writerow([int(row["step"]), row["layer"], row["kind"], *numbers, *(int(row[name]) for name in BINS)])
    return text.getvalue()

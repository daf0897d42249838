"""`Comparison`: the result of `compare`, as a table, sentences, a plot, files, and displays in text and HTML."""

from __future__ import annotations

import base64
import functools
import html
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnnrecipes._support.atomic_files import check_writable, write_whole
from cnnrecipes._support.console import printable
from cnnrecipes.comparison.accuracy_speed_memory import Score, score_table
from cnnrecipes.comparison.contrasts import Contrast, Scores
from cnnrecipes.comparison.record import write_evaluation
from cnnrecipes.errors import RunError, counted
from cnnrecipes.figures import Picture

_WRITERS: dict[str, Callable[[pd.DataFrame, Path], object]] = {
    ".csv": lambda table, path: table.to_csv(path, index=False),
    ".parquet": lambda table, path: table.to_parquet(path, index=False),
}
_SHOWN = ("variant", "seeds", "accuracy", "difference", "low", "high", "p_holm", "seconds_per_epoch", "parameters")


@dataclass(frozen=True)
class Comparison:
    """Result of `compare`; `str()` are its sentences, `repr()` the table too.

    Attributes:
        folder: with the runs, comparison.json, table.csv, runs.csv and comparison.png.
        baseline: label of the variant that the others are compared to.
        split: the split on which accuracy was measured.
        images: number of images of that split.
        chosen: a training kept the epoch with the best validation.
        sequential: seeds were added until the answer was clear.
        scores: label -> seed -> `Score` of each training.
        contrasts: label -> `Contrast`, without the baseline.
        costs: label -> parameters, multiply-adds and bytes of activations of its model, for one image.
        environment: code, packages and command.
        caution: a sentence if earlier evaluations make the p-values too small; else "".
    """

    folder: Path
    baseline: str
    split: str
    images: int
    chosen: bool
    sequential: bool
    scores: Scores = field(repr=False)
    contrasts: Mapping[str, Contrast] = field(repr=False)
    costs: Mapping[str, Mapping[str, int]] = field(repr=False)
    environment: Mapping[str, Any] = field(repr=False)
    caution: str = ""

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """One row for each variant, the baseline first.

        | column                                    | content                                                         |
        |-------------------------------------------|-----------------------------------------------------------------|
        | variant, seeds                            | label, number of trainings                                      |
        | accuracy, deviation                       | mean over the seeds, 0..1, and standard deviation between them  |
        | difference, low, high                     | to the baseline, with its 95% interval; NaN for the baseline    |
        | p, p_holm, verdict                        | see `Contrast`                                                  |
        | seconds_per_epoch, images_per_second      | means over the seeds                                            |
        | time_ratio, time_low, time_high           | time per epoch / that of the baseline, with its 95% interval    |
        | parameters, multiply_adds, activation_bytes | of the model, for one image                                   |
        | peak_memory_mib                           | highest of the seeds, on a GPU; else NaN                        |
        """
        labels = [self.baseline, *(label for label in self.scores if label != self.baseline)]
        return pd.DataFrame([self._row(label) for label in labels])

    @property
    def runs(self) -> pd.DataFrame:
        """One row for each training: variant, seed, folder, accuracy, and its times."""
        return score_table(self.scores)

    @property
    def sentences(self) -> list[str]:
        """The conclusion on each variant."""
        return [one.sentence for one in self.contrasts.values()]

    @property
    def sentence(self) -> str:
        """The conclusions on all variants, and what they are measured on."""
        return "\n".join([*self.sentences, self.remark])

    @property
    def remark(self) -> str:
        """A sentence on the split that the numbers are measured on, and on the chance that their intervals contain."""
        chosen = (
            ", which also chose the epoch that is kept, so it is a little too high"
            if self.split == "validation" and self.chosen
            else ""
        )
        where = f"Accuracy on the {self.split} split ({counted(self.images, 'image')}){chosen}."
        if self._method == "mcnemar":
            return (
                f"{where} One training of each variant: McNemar's exact test and Newcombe's interval compare these "
                "trained models on these images; other seeds may differ by more, so give several seeds to compare "
                "recipes."
            )
        kind = (
            "intervals and p-values hold at every number of seeds (anytime-valid t test)"
            if self.sequential
            else "95% intervals by Student's t over the seeds"
        )
        chance = f"Paired by seed; {kind}: they have the chance of the seeds, not that of the images."
        return " ".join([where, chance, *([self.caution] if self.caution else [])])

    def plot(self, path: str | os.PathLike | None = None) -> Picture:
        """Plot the differences with their intervals, and accuracy against time per epoch; see `plot_comparison`."""
        from cnnrecipes.comparison.plot import plot_comparison

        return plot_comparison(self, path=path)

    def write_table(self, path: str | os.PathLike) -> None:
        """Write the table as .csv or .parquet.

        Raises:
            RunError: another suffix.
            WriteError: the path cannot be written.
        """
        write_table(self.table, path)

    def write(self) -> list[Path]:
        """Write comparison.json, table.csv, runs.csv and comparison.png into the folder, and return their paths.

        comparison.json keeps earlier evaluations of the folder's trainings, for example of other variants.

        Raises:
            RunError: comparison.json is damaged.
            WriteError: a file cannot be written.
        """
        table, runs, picture = (self.folder / name for name in ("table.csv", "runs.csv", "comparison.png"))
        record = write_evaluation(self.folder, self.document())
        write_table(self.table, table)
        write_table(self.runs, runs)
        self.plot(picture)
        return [record, table, runs, picture]

    def document(self) -> dict[str, Any]:
        """Return all numbers as nested tables of plain values, as in comparison.json; NaN is None."""
        runs = [
            {"variant": label, **asdict(one), "run": os.path.relpath(one.run, self.folder)}
            for label, row in self.scores.items()
            for one in row.values()
        ]
        return _plain(
            {
                "metric": "accuracy",
                "split": self.split,
                "n": self.images,
                "baseline": self.baseline,
                "sequential": self.sequential,
                "caution": self.caution,
                "conclusion": self.sentence,
                "table": self.table.to_dict("records"),
                "contrasts": [{**asdict(one), "verdict": one.verdict} for one in self.contrasts.values()],
                "runs": runs,
                **self.environment,
            }
        )

    def __str__(self) -> str:
        return self.sentence

    def __repr__(self) -> str:
        shown = self.table[[name for name in _SHOWN if name in self.table]]
        text = printable_table(shown)
        return f"Comparison in {printable(self.folder)}\n{text}\n{printable_lines(self.sentence)}"

    def _repr_html_(self) -> str:
        """Return the HTML display of notebooks: sentences, table and plot."""
        lines = "".join(f"<li>{html.escape(printable(line))}</li>" for line in self.sentences)
        table = self.table.to_html(index=False, float_format=lambda value: f"{value:.4g}", na_rep="")
        picture = base64.b64encode(self.plot()._repr_png_()).decode()
        return (
            f"<div><b>Comparison with {html.escape(printable(self.baseline))}</b><ul>{lines}</ul>"
            f"<p>{html.escape(self.remark)}</p>{table}"
            f'<img alt="differences to the baseline" style="max-width:100%" '
            f'src="data:image/png;base64,{picture}"></div>'
        )

    @property
    def _method(self) -> str:
        return next(iter(self.contrasts.values())).method

    def _row(self, label: str) -> dict[str, Any]:
        rows = [one for one in self.scores[label].values() if not one.failed]
        about = self.contrasts.get(label)
        return {
            "variant": label,
            "seeds": len(self.scores[label]),
            "accuracy": _mean(rows, "accuracy"),
            "deviation": float(np.std([one.accuracy for one in rows], ddof=1)) if len(rows) > 1 else math.nan,
            **{name: getattr(about, name, math.nan) for name in ("difference", "low", "high", "p", "p_holm")},
            "verdict": about.verdict if about else "baseline",
            "seconds_per_epoch": _mean(rows, "seconds_per_epoch"),
            "images_per_second": _mean(rows, "images_per_second"),
            "time_ratio": about.speed.ratio if about else 1.0,
            "time_low": about.speed.low if about else math.nan,
            "time_high": about.speed.high if about else math.nan,
            **self.costs.get(label, {}),
            "peak_memory_mib": max((one.peak_memory_mib or math.nan for one in rows), default=math.nan),
        }


def write_table(table: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write a table atomically as .csv or .parquet. Raises RunError and WriteError."""
    path = table_path(path)
    write_whole(path, lambda beside: _WRITERS[path.suffix.lower()](table, beside))


def table_path(path: str | os.PathLike) -> Path:
    """Check the path of a table before the work. Raises RunError for another suffix, and WriteError."""
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise RunError(f"{str(path)!r}: a table is written as {' or '.join(_WRITERS)}; give such a path")
    return check_writable(path)


def printable_table(table: pd.DataFrame) -> str:
    """Return a table as text, its labels without control characters."""
    shown = table.assign(variant=[printable(label) for label in table["variant"]])
    return shown.to_string(index=False, float_format=lambda value: f"{value:.4g}", na_rep="")


def printable_lines(text: str) -> str:
    """Return several lines without control characters."""
    return "\n".join(map(printable, text.splitlines()))


def _mean(rows: list[Score], name: str) -> float:
    return float(np.mean([getattr(one, name) for one in rows])) if rows else math.nan


def _plain(value: Any) -> Any:
    """Return a value as JSON types; NaN and infinities are None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (np.integer, np.floating)):
        return _plain(value.item())
    return value if value is None or isinstance(value, (str, int)) else str(value)

"""`compare_runs`: two finished runs by McNemar's exact test on their predictions of the same images."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnrecipes._support.console import printable
from cnnrecipes.comparison.contrasts import p_text, points
from cnnrecipes.comparison.paired import ALPHA, Discordance
from cnnrecipes.data.sources.random_access_dataset import quoted
from cnnrecipes.errors import RunError
from cnnrecipes.recipe.schema import SPLIT_KEYS
from cnnrecipes.runs.predictions import Predictions
from cnnrecipes.runs.run import Run


@dataclass(frozen=True)
class RunComparison:
    """Result of `compare_runs`; `str()` is a sentence.

    Attributes:
        first, second: folders of the runs.
        split: the split of which they predicted every image.
        counts: number of images that both, only one, or neither classifies correctly.
    """

    first: Path
    second: Path
    split: str
    counts: Discordance

    @property
    def p(self) -> float:
        """P-value of McNemar's exact test."""
        return self.counts.p

    @property
    def sentence(self) -> str:
        """The conclusion."""
        names, counts = self._names(), self.counts
        low, high = counts.interval
        accuracies = [f"{one:.1%}" for one in counts.accuracies]
        about = (
            f"{accuracies[1]} against {accuracies[0]} on {counts.n:,} {self.split} images; difference "
            f"{points(counts.difference, sign=True)} points, 95% interval {points(low, sign=True)} to "
            f"{points(high, sign=True)}; only {names[1]} is right on {counts.only_second}, only {names[0]} on "
            f"{counts.only_first}; {p_text(counts.p)}, McNemar's exact test"
        )
        if counts.p < ALPHA:
            verdict = "better" if counts.difference > 0 else "worse"
            return f"{names[1]} is {verdict} than {names[0]} ({about})."
        unseen = points(counts.smallest_visible())
        return (
            f"{names[1]} and {names[0]} cannot be told apart on these images ({about}); a difference of less than "
            f"{unseen} points would not be seen (power below 80%)."
        )

    def document(self) -> dict[str, Any]:
        """Return all numbers as a table of plain values."""
        counts = self.counts
        return {
            "first": str(self.first),
            "second": str(self.second),
            "split": self.split,
            "n": counts.n,
            "accuracy": list(counts.accuracies),
            "both": counts.both,
            "only_first": counts.only_first,
            "only_second": counts.only_second,
            "neither": counts.neither,
            "difference": counts.difference,
            "difference_95": list(counts.interval),
            "p": counts.p,
            "conclusion": self.sentence,
        }

    def __str__(self) -> str:
        return printable(self.sentence)

    def _repr_html_(self) -> str:
        """Return the HTML display of notebooks."""
        return f"<p>{html.escape(printable(self.sentence))}</p>"

    def _names(self) -> tuple[str, str]:
        """Return the names of the folders, or, if they are equal, their paths below the folder that has both."""
        if self.first.name != self.second.name:
            return self.first.name, self.second.name
        paths = self.first.resolve(), self.second.resolve()
        common = os.path.commonpath(paths)
        return os.path.relpath(paths[0], common), os.path.relpath(paths[1], common)


def compare_runs(
    first: str | Path | Run, second: str | Path | Run, data: Any = None, *, split: str | None = None
) -> RunComparison:
    """Compare two finished runs on the same images: McNemar's exact test, with Newcombe's interval of the difference.

    It compares two trained models, not their recipes: the same recipe with another seed may differ as much. `compare`
    trains several seeds.

    Args:
        first, second: the runs, or the paths of their folders.
        data: as in `Run.evaluate`, for both; None: the data that they were trained on.
        split: "validation" or "test"; None: the validation split, or `data` as a whole if it has no splits. The test
            split is asked for by name, since runs that are chosen by it need another one for their accuracy.

    Raises:
        RunError: a run is unfinished, both are the same, or they have different classes, images or labels.
        DataError: the data cannot be read, or has no such split.
    """
    runs = Run.open(first), Run.open(second)
    for run in runs:
        if not run.finished:
            raise RunError(f"{str(run.folder)!r} is unfinished; `cnnrecipes resume {run.folder}` finishes it")
    if runs[0].folder.resolve() == runs[1].folder.resolve():
        raise RunError(f"{str(runs[0].folder)!r} is given twice; give two runs")
    names = [run.class_names for run in runs]
    if names[0] != names[1]:
        raise RunError(
            f"{str(runs[0].folder)!r} has the classes {quoted(names[0])}, and {str(runs[1].folder)!r} has "
            f"{quoted(names[1])}; compare runs with the same classes in the same order"
        )
    answers = runs[0].answers(data, split), runs[1].answers(data, split)
    _require_same_images(runs, answers)
    return RunComparison(
        runs[0].folder, runs[1].folder, answers[0].split, Discordance.of(answers[0].right, answers[1].right)
    )


def _require_same_images(runs: tuple[Run, Run], answers: tuple[Predictions, Predictions]) -> None:
    """Raise RunError unless both runs predicted the same images in the same order."""
    one, other = answers
    if one.split == other.split and one.images == other.images:
        return
    tables = [run.recipe.data.model_dump() for run in runs]
    differing = [
        f"data.{key} {tables[0][key]!r} and {tables[1][key]!r}"
        for key in SPLIT_KEYS
        if tables[0][key] != tables[1][key]
    ]
    why = f": they differ in {', '.join(differing)}" if differing else ""
    raise RunError(
        f"the {one.split} split of {str(runs[0].folder)!r} ({len(one.truth):,} images) is not the {other.split} split "
        f"of {str(runs[1].folder)!r} ({len(other.truth):,} images){why}; give the same data to both"
    )

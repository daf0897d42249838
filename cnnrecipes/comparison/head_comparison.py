"""`HeadComparison`: the result of `compare_heads`, as a table and a conclusion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cnnrecipes.comparison.paired import ALPHA, Discordance, holm
from cnnrecipes.errors import counted
from cnnrecipes.runs.intervals import wilson

_FEW = 50  # validation images below which the 95% interval of an accuracy is wider than 20 points


@dataclass(frozen=True)
class ComparedHead:
    """A head on frozen features, measured on the validation split.

    Attributes:
        label: the values that tell it from the others, for example "head=mlp, learning_rate=0.003".
        changes: keys of the recipe with which `fit` trains it.
        right: (N,) bool, True for each validation image with the right class; all False if its training diverged.
        cross_entropy: mean over the validation images, in nats; infinite if it diverged.
        parameters: number of trained parameters.
        seconds: of its training, without the computation of the features.
        chosen: what the validation split chose for it, for example "L2 strength 0.01" or "epoch 7 of 10".
        diverged: the loss became NaN or infinite.
    """

    label: str
    changes: Mapping[str, Any] = field(repr=False)
    right: np.ndarray = field(repr=False)
    cross_entropy: float
    parameters: int
    seconds: float
    chosen: str
    diverged: bool = False

    @property
    def accuracy(self) -> float:
        """Share of validation images with the right class, 0..1."""
        return float(self.right.mean())

    def __str__(self) -> str:
        if self.diverged:
            return f"{self.label}: the loss is not finite"
        return f"{self.label}: {self.accuracy:.2%}, {self.chosen}, in {self.seconds:.1f} s"


@dataclass(frozen=True)
class HeadComparison:
    """Result of `compare_heads`; `str()` is its conclusion.

    Attributes:
        heads: the best first: by accuracy, then by cross entropy; those that diverged last.
    """

    heads: Sequence[ComparedHead]

    @property
    def best(self) -> ComparedHead:
        """The head of the highest accuracy, and of several such the one of the lowest cross entropy."""
        return self.heads[0]

    @property
    def images(self) -> int:
        """Number of validation images."""
        return len(self.best.right)

    @property
    def table(self) -> pd.DataFrame:
        """One row for each head, the best first; NaN for what a head that diverged does not have.

        | column                     | content                                                                         |
        |----------------------------|---------------------------------------------------------------------------------|
        | head                       | its label                                                                       |
        | accuracy, low, high        | on the validation split, 0..1, with its 95% interval (Wilson)                   |
        | cross_entropy              | mean, in nats                                                                   |
        | difference                 | accuracy minus that of the best; NaN for the best                               |
        | p_holm                     | of McNemar's test against the best, corrected for the number of heads by Holm   |
        | chosen                     | L2 strength or epoch that the validation split chose; "diverged"                |
        | parameters, seconds        | trained parameters; time of the training                                        |
        """
        return pd.DataFrame([self._row(one, p) for one, p in zip(self.heads, self._p_holm(), strict=True)])

    def _p_holm(self) -> list[float]:
        """Return the corrected p-value of each head against the best; NaN for the best, and for those that diverged."""
        places = [place for place, one in enumerate(self.heads) if place and not one.diverged]
        p_values = holm([Discordance.of(self.best.right, self.heads[place].right).p for place in places])
        found = dict(zip(places, p_values, strict=True))
        return [found.get(place, math.nan) for place in range(len(self.heads))]

    def _row(self, one: ComparedHead, p_holm: float) -> dict[str, Any]:
        row: dict[str, Any] = dict.fromkeys(
            ("head", "accuracy", "low", "high", "cross_entropy", "difference"), math.nan
        )
        row |= {"head": one.label, "p_holm": p_holm, "chosen": one.chosen}
        row |= {"parameters": one.parameters, "seconds": one.seconds}
        if not one.diverged:
            low, high = wilson(int(one.right.sum()), self.images)
            row |= {"accuracy": one.accuracy, "low": low, "high": high, "cross_entropy": one.cross_entropy}
        if not one.diverged and one is not self.best:
            row["difference"] = one.accuracy - self.best.accuracy
        return row

    @property
    def conclusion(self) -> str:
        """Which head has the highest accuracy, how many are significantly worse, and that the accuracy is too high."""
        low, high = wilson(int(self.best.right.sum()), self.images)
        few = (
            f" With {counted(self.images, 'validation image')} the choice is mostly random: prefer the simplest head, "
            "or hold out more images."
            if self.images < _FEW
            else ""
        )
        return (
            f"{self.best.label} has the highest accuracy: {self.best.accuracy:.1%} of "
            f"{counted(self.images, 'validation image')} right (95% interval {low:.1%} to {high:.1%}). "
            f"{self._others()}{few} The validation split chose it, and the strength or the epoch of each head, so its "
            "accuracy is a little too high."
        )

    def _others(self) -> str:
        """Return the sentence about the other heads."""
        p_holm = [p for p in self._p_holm() if not math.isnan(p)]
        if not p_holm:
            return "The training of every other head diverged."
        worse, test = sum(p < ALPHA for p in p_holm), "McNemar's test with Holm's correction, p < 0.05"
        if worse == len(p_holm):
            return f"Every other head is significantly worse on these images ({test})."
        if worse:
            return f"{worse} of {counted(len(p_holm), 'other head')} are significantly worse on these images ({test})."
        return f"No other head is significantly worse on these images ({test})."

    def document(self) -> dict[str, Any]:
        """Return the table with the `changes` of each head, and the conclusion, as JSON types."""
        rows = self.table.to_dict("records")
        heads = [{**row, "changes": dict(one.changes)} for row, one in zip(rows, self.heads, strict=True)]
        return {"heads": heads, "validation_images": self.images, "conclusion": self.conclusion}

    def __str__(self) -> str:
        return self.conclusion

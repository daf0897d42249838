"""`RateGrid`: validation accuracies and training losses of a grid of learning rates and weight decays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd

from cnnrecipes.errors import counted
from cnnrecipes.runs.intervals import wilson

_AXES = {"--rates": "learning rates", "--decays": "weight decays"}


@dataclass(frozen=True)
class Cell:
    """One training of a grid.

    Attributes:
        learning_rate, weight_decay: values of the recipe's `optimizer` table.
        accuracy: of the validation split, 0..1; NaN if the training diverged.
        loss: mean training loss of the last epoch, or of the last half of the steps; NaN if it diverged.
        diverged: the loss became NaN or infinite, or ended above twice that of a uniform prediction.
        seconds: of the training and its validation.
    """

    learning_rate: float
    weight_decay: float
    accuracy: float
    loss: float
    diverged: bool
    seconds: float


@dataclass(frozen=True)
class RateGrid:
    """Result of `rate_grid`; `str()` is a sentence.

    Attributes:
        name: name of the recipe.
        trainings: one for each learning rate and weight decay.
        length: length of each training, for example "3 epochs".
        images: number of validation images.
        recipe_rate, recipe_decay: those of the recipe.
    """

    name: str
    trainings: tuple[Cell, ...] = field(repr=False)
    length: str
    images: int
    recipe_rate: float
    recipe_decay: float

    @property
    def cells(self) -> pd.DataFrame:
        """The trainings as a table, with the attributes of `Cell` as columns."""
        return pd.DataFrame([asdict(cell) for cell in self.trainings])

    @property
    def rates(self) -> list[float]:
        """The learning rates, rising."""
        return sorted({cell.learning_rate for cell in self.trainings})

    @property
    def decays(self) -> list[float]:
        """The weight decays, rising."""
        return sorted({cell.weight_decay for cell in self.trainings})

    @property
    def best(self) -> Cell | None:
        """The training with the highest accuracy, and the lower loss if several have it; None if all diverged."""
        left = [cell for cell in self.trainings if not cell.diverged]
        return max(left, key=lambda cell: (cell.accuracy, -cell.loss), default=None)

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the best accuracy (Wilson 1927), 0..1; NaN if all trainings diverged."""
        best = self.best
        return wilson(round(best.accuracy * self.images), self.images) if best else (math.nan, math.nan)

    def border(self) -> list[str]:
        """Return how to extend the grid, as options of find-lr, where the best cell is at its border.

        Only where it is better than the cells that are not at that border by more than the noise: none reaches its
        interval.
        """
        return [
            f"{option} {','.join(f'{one:.2g}' for one in beyond)}"
            for option, beyond, tied in self._borders()
            if not tied
        ]

    def _borders(self) -> list[tuple[str, list[float], bool]]:
        """Return option, values beyond and "tied" of each border at which the best cell is.

        Tied: a cell with another value of this axis reaches the interval of the best.
        """
        best, found = self.best, list[tuple[str, list[float], bool]]()
        if best is None:
            return found
        for option, values, name in (
            ("--rates", self.rates, "learning_rate"),
            ("--decays", self.decays, "weight_decay"),
        ):
            value = getattr(best, name)
            if beyond := _beyond(values, value):
                others = [cell for cell in self.trainings if getattr(cell, name) != value]
                found.append((option, beyond, any(cell.accuracy >= self.interval[0] for cell in others)))
        return found

    def __str__(self) -> str:
        best = self.best
        if best is None:
            return f"All {len(self.trainings)} trainings diverged: set lower --rates than {self.rates[0]:.2g}."
        low, high = self.interval
        alike = sum(cell.accuracy >= low for cell in self.trainings) - 1
        reach = f", which {alike} of the others reach" if len(self.trainings) > 1 else ""
        text = (
            f"Best of {counted(len(self.trainings), 'training')} of {self.length}: learning rate "
            f"{best.learning_rate:.2g} and weight decay {best.weight_decay:.2g}, with a validation accuracy of "
            f"{best.accuracy:.1%} ({counted(self.images, 'image')}, 95% interval {low:.1%} to "
            f"{high:.1%}{reach}); the recipe has {self.recipe_rate:.2g} and {self.recipe_decay:.2g}"
        )
        if border := self.border():
            return f"{text}. It lies at the border of the grid: extend the grid with {' and '.join(border)}."
        if borders := self._borders():
            others = " and ".join(_AXES[option] for option, _, _ in borders)
            return (
                f"{text}. It lies at the border of the grid, but {counted(self.images, 'image')} cannot tell it from "
                f"trainings with other {others}: compare these by more --epochs or another --seed before you extend it."
            )
        return f"{text}."


def _beyond(values: Sequence[float], value: float) -> list[float]:
    """Return `value` at an end of rising `values`, and two values beyond in their ratio; [] if it is not at an end."""
    positive = [one for one in values if one > 0]
    if len(positive) < 2 or value not in (values[0], values[-1]) or value == 0:
        return []
    ratio = (positive[-1] / positive[0]) ** (1 / (len(positive) - 1))
    steps = np.array([0, 1, 2]) if value == values[-1] else np.array([-2, -1, 0])
    return (value * ratio**steps).tolist()

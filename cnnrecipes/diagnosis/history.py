"""`History`: the epochs of a training as arrays, and the statistics that the findings share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

NOT_FINITE = 1e9  # stands for a loss that is NaN or infinite, so that comparisons stay defined


@dataclass(frozen=True)
class History:
    """The completed epochs of a training; every attribute is (E,) float64, NaN where nothing was measured.

    Attributes:
        epoch: numbers of the epochs, from 1.
        loss: mean training loss during the epoch, as the recipe defines it (with label smoothing, mixing, dropout).
        accuracy: 0..1, mean training accuracy during the epoch, on augmented images and in training mode.
        val_loss: cross entropy of the validation split after the epoch, in nats.
        val_accuracy: 0..1, of the validation split after the epoch.
        learning_rate: of the last step of the epoch.
    """

    epoch: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    val_loss: np.ndarray
    val_accuracy: np.ndarray
    learning_rate: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> History:
        """Return the history with one row per epoch; missing values become NaN, unknown columns are ignored.

        Losses that are not finite, or above it, become `NOT_FINITE`.
        """
        columns = {field.name: [row.get(field.name, np.nan) for row in rows] for field in fields(cls)}
        table = {name: np.array(values, np.float64) for name, values in columns.items()}
        for loss, measured in (("loss", "accuracy"), ("val_loss", "val_accuracy")):
            finite = np.nan_to_num(table[loss], nan=NOT_FINITE, posinf=NOT_FINITE, neginf=NOT_FINITE)
            table[loss] = np.where(np.isfinite(table[measured]), np.minimum(finite, NOT_FINITE), np.nan)
        return cls(**table)

    def rows(self) -> list[dict[str, float]]:
        """Return the values that are not NaN, one dict per epoch."""
        table = {field.name: getattr(self, field.name) for field in fields(self)}
        return [
            {name: float(values[i]) for name, values in table.items() if not np.isnan(values[i])}
            for i in range(len(self))
        ]

    def __len__(self) -> int:
        return len(self.epoch)

    @property
    def validated(self) -> bool:
        """True if there is an epoch, and the last one was validated."""
        return len(self) > 0 and bool(np.isfinite(self.val_accuracy[-1]))

    @property
    def rate_share(self) -> np.ndarray:
        """Learning rate at the end of each epoch relative to the highest one, 0..1; 1 where rates are not recorded."""
        highest = np.nanmax(self.learning_rate, initial=0.0)
        if not highest > 0:
            return np.ones(len(self))
        return np.nan_to_num(self.learning_rate / highest, nan=1.0)

    @property
    def peak_rate(self) -> float:
        """The highest learning rate at the end of an epoch; 0 without any."""
        return float(np.nanmax(self.learning_rate, initial=0.0))


def last_epochs(history: History, share: float = 0.2, most: int = 5) -> slice:
    """Return the slice of the last epochs, over which values are averaged: a share of all, 1 to `most` epochs."""
    count = min(max(round(share * len(history)), 1), most)
    return slice(len(history) - count, len(history))


def smoothed(values: np.ndarray) -> np.ndarray:
    """Return the running median of three epochs, (E,): one outlier is no trend. The ends are kept."""
    if len(values) < 3:
        return values.copy()
    inner = np.median(np.stack([values[:-2], values[1:-1], values[2:]]), axis=0)
    return np.concatenate([values[:1], inner, values[-1:]])

"""Summary table of an experiment: loss and accuracy in the last epoch of each case."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the last epoch of each case: loss and accuracy on augmented training and on validation images."""
    last = frame[frame.epoch == frame.groupby(["kind", "size"]).epoch.transform("max")]
    return last[["kind", "size", "loss", "accuracy", "val_loss", "val_accuracy"]].reset_index(drop=True)

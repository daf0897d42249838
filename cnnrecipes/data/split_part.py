"""A part of a split that is spread evenly over it."""

from __future__ import annotations

import weakref
from dataclasses import replace

import numpy as np

from cnnrecipes.data.sources.random_access_dataset import Split
from cnnrecipes.errors import DataError


def spread_indices(n: int, most: int) -> np.ndarray:
    """Return at most `most` evenly spaced indices below `n`. Raises DataError if `most` is below 1."""
    if most < 1:
        raise DataError(f"images = {most} leaves no image to measure; give at least 1")
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).round().astype(int)


def spread_part(split: Split, most: int) -> Split:
    """Return at most `most` examples of a split, evenly spaced in its order, so that sorted classes keep their shares.

    Raises DataError if `most` is below 1.
    """
    chosen = spread_indices(len(split), most)
    return split if len(chosen) == len(split) else taken(split, chosen)


def taken(split: Split, chosen: np.ndarray, name: str | None = None) -> Split:
    """Return the examples of a split at indices, as a split of its own; `name`: None keeps that of the split."""
    groups = None if split.groups is None else split.groups[chosen]
    return replace(
        split,
        name=name or split.name,
        labels=split.labels[chosen],
        positions=split.positions[chosen],
        groups=groups,
        kept={},
        handles=weakref.WeakSet(),
    )

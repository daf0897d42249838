"""Snapshot of variables, restored after experiments on a model: weights, moving statistics, random states, slots."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np


class Snapshot:
    """The values of all variables of models, optimizers and lists of variables.

    Attributes:
        values: the values, in the order of the variables.
    """

    def __init__(self, *owners: Any):
        self._variables = [variable for owner in owners for variable in getattr(owner, "variables", owner)]
        self.values = [np.array(variable.numpy()) for variable in self._variables]

    def restore(self) -> None:
        """Assign the values to the variables."""
        for variable, value in zip(self._variables, self.values, strict=True):
            variable.assign(value)


@contextlib.contextmanager
def restored(*owners: Any) -> Iterator[Snapshot]:
    """Restore all variables of models, optimizers and lists of variables on exit; yield their values."""
    kept = Snapshot(*owners)
    try:
        yield kept
    finally:
        kept.restore()

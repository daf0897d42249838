"""Errors in a training of a search: those that the values of the trial cause are its failure, others end the search."""

from __future__ import annotations

import tensorflow as tf

from cnnrecipes.errors import ModelError, NonFinite, OutOfMemory, RecipeError, one_line
from cnnrecipes.training.preflight import is_disk_full

_LONGEST = 500  # characters of a reason


def failure_reason(error: BaseException) -> str | None:
    """Return why a trial failed by its own values; None for any other error, which a resume of the search may not meet.

    The values of a trial can make its loss NaN, need more memory than there is, or describe a recipe or a model that
    does not exist. Data that cannot be read, a full disk, a run folder of another process and a programming error are
    the same for all trials: they would fail one after the other, and could not be repeated.
    """
    if isinstance(error, (NonFinite, OutOfMemory, RecipeError, ModelError)):
        return shortened(error)
    if isinstance(error, (tf.errors.ResourceExhaustedError, MemoryError)) and not is_disk_full(error):
        return shortened(f"out of memory: {one_line(error)}")
    return None


def shortened(reason: object) -> str:
    """Return a reason on one line, without its end if it is long."""
    return one_line(reason)[:_LONGEST]

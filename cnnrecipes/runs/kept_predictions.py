"""The predictions that a run keeps of its validation and test images, which spare another forward pass."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path

from cnnrecipes.data.sources.random_access_dataset import Split
from cnnrecipes.errors import CNNRecipesWarning, RunError, WriteError
from cnnrecipes.runs.evaluation import images_digest
from cnnrecipes.runs.predictions import FILE, Predictions, read_predictions, write_predictions

SPLITS = ("validation", "test")  # the splits whose predictions are kept


def require(folder: Path, split: str) -> Predictions:
    """Return the kept predictions of a split. Raises RunError if there are none, or the file is damaged."""
    path = folder / FILE
    remedy = f"`run.evaluate(split={split!r})` predicts its images and keeps the result"
    if not path.is_file():
        raise RunError(f"{str(folder)!r} has no {FILE}: it is unfinished, or of an earlier version; {remedy}")
    found = read_predictions(path)
    if split not in found:
        remedy = f"; {remedy}" if split in SPLITS else f"; kept are {' and '.join(SPLITS)} of data that has them"
        raise RunError(f"{str(path)!r} has the predictions of {' and '.join(found)}, not of {split!r}{remedy}")
    return found[split]


def all_kept(folder: Path) -> dict[str, Predictions]:
    """Return split -> kept predictions; {} without a file, and with a warning if the file is damaged."""
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        return read_predictions(path)
    except RunError as error:
        warnings.warn(str(error), CNNRecipesWarning, stacklevel=3)
        return {}


def of_split(kept: dict[str, Predictions], split: Split) -> Predictions | None:
    """Return the kept predictions of a split if they are of the same images with the same labels; None otherwise."""
    found = kept.get(split.name)
    if found is None or len(found) != len(split) or (found.truth != split.labels).any():
        return None
    return found if found.images == images_digest(split) else None


def keep(folder: Path, predictions: Predictions) -> None:
    """Add the predictions of a split to those of the run if it has none of it; a folder that is read-only stays."""
    if predictions.split not in SPLITS:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CNNRecipesWarning)  # a damaged file is replaced
        found = all_kept(folder)
    if predictions.split not in found:
        with contextlib.suppress(WriteError):
            write_predictions(folder / FILE, [*found.values(), predictions])

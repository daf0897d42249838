"""The evidence of a run: its records, and predictions of its model where the data are there."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from cnnrecipes.data.sources.random_access_dataset import Source
from cnnrecipes.data.split_part import spread_part
from cnnrecipes.data.train_subset import with_train_images
from cnnrecipes.data.unreadable_files import open_readable
from cnnrecipes.debug.split_predictions import (
    has_batch_statistics,
    kept_counts,
    predictions,
    reestimate_batch_norm,
)
from cnnrecipes.diagnosis.evidence import Evidence
from cnnrecipes.diagnosis.recorded_evidence import recorded_evidence
from cnnrecipes.errors import CNNRecipesError, CNNRecipesWarning, DataError, RunError, counted
from cnnrecipes.runs import kept_predictions, unfinished_run_model
from cnnrecipes.runs.records import QUARANTINE, read_quarantine
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.trained_model import Artifact
from cnnrecipes.training.seeding import seeded

_GAP = 0.1  # of training over validation accuracy, from which batch norm statistics are re-estimated


def measured_evidence(run: Run, data: Any, images: int, say: Callable[[str], None]) -> Evidence:
    """Return the evidence of a run with predictions of its model on at most `images` images of each split.

    The model is loaded once more, so that the one of `run` is not touched; RNG states are restored.

    Raises:
        RunError: as `recorded_evidence`, or the run has no model yet.
        DataError: the data cannot be opened, or are others; or an image cannot be read, which is named.
    """
    evidence = recorded_evidence(run)
    with seeded(0):
        artifact = _loaded(run)
        with _opened(run, data, artifact.class_names) as source:
            return _with_predictions(evidence, run, artifact, source, images, say)


def _opened(run: Run, data: Any, class_names: Sequence[str]) -> Source:
    """Return the data of a run, open. Raises DataError, with the remedy if it is the recipe's own data."""
    try:
        source, left_out = open_readable(data, run.recipe.data)
        try:
            source = with_train_images(source, run.recipe)
            source.check_class_names(class_names)
        except CNNRecipesError:
            source.close()
            raise
    except CNNRecipesError as error:
        if data is not None:
            raise
        raise DataError(f"{error}; give the data with data= (--data)") from None
    _warn_of_damage(run.folder, left_out)
    return source


def _warn_of_damage(folder: Path, left_out: Mapping[str, str]) -> None:
    """Issue a warning about files that cannot be read, and could be when the run was trained."""
    before = {_in_class_folder(file) for file in read_quarantine(folder / QUARANTINE)}
    damaged = {file: why for file, why in left_out.items() if _in_class_folder(file) not in before}
    if damaged:
        first, why = next(iter(damaged.items()))
        warnings.warn(
            f"{counted(len(damaged), 'file')} of the data cannot be read any more, for example {first!r}: {why}. Left "
            "out; a split that is drawn may then have training images in validation. Restore the files, and repeat",
            CNNRecipesWarning,
            stacklevel=2,
        )


def _in_class_folder(file: str) -> tuple[str, ...]:
    """Return the end of a path, which stays if the whole data set is moved."""
    return PurePath(file).parts[-2:]


def _with_predictions(
    evidence: Evidence, run: Run, artifact: Artifact, source: Source, images: int, say: Callable[[str], None]
) -> Evidence:
    train = source.split("train")
    part = spread_part(train, images)
    counts = np.bincount(train.labels, minlength=len(artifact.class_names))
    say(f"predicting {len(part):,} training images without augmentation")
    found: dict[str, Any] = {
        "classes": len(artifact.class_names),
        "training_images": tuple(int(n) for n in counts),
        "train": predictions(artifact, part),
    }
    if "validation" in source.splits:
        validation = spread_part(source.split("validation"), images)
        kept = kept_predictions.of_split(run.kept_predictions(), source.split("validation"))
        if kept is None:
            say(f"predicting {len(validation):,} validation images")
        found["validation"] = predictions(artifact, validation) if kept is None else kept_counts(kept, images)
        found["validation_images"] = len(source.split("validation"))
        if _may_be_stale(evidence, artifact, found["validation"].accuracy):
            say("re-estimating the batch norm statistics on a copy of the model")
            copy = _loaded(run)
            reestimate_batch_norm(copy, part)
            found["reestimated"] = predictions(copy, validation)
    return _replaced(evidence, found)


def _may_be_stale(evidence: Evidence, artifact: Artifact, accuracy: float) -> bool:
    """Return True if training is far more accurate than validation, and batch norms trained on batch statistics."""
    transfer, history = evidence.recipe.transfer, evidence.history
    frozen = transfer.how != "none" and transfer.batch_norm == "inference"
    if frozen or not len(history) or not has_batch_statistics(artifact.model):
        return False
    return float(np.nanmax(history.accuracy)) - accuracy > _GAP


def _replaced(evidence: Evidence, found: dict[str, Any]) -> Evidence:
    fields = {name: getattr(evidence, name) for name in evidence.__dataclass_fields__}
    return Evidence(**{**fields, **found})


def _loaded(run: Run) -> Artifact:
    """Return the run's model, loaded for the caller; of an unfinished run that of its best epoch so far."""
    if run.finished or (run.folder / "model.keras").is_file():
        return Artifact.load(run.folder / "model.keras")
    if not (run.folder / unfinished_run_model.FILE).is_file():
        raise RunError(f"{str(run.folder)!r} has no model yet; `cnnrecipes resume {run.folder}` continues the training")
    return unfinished_run_model.best_so_far(run.folder, run.recipe)[0]

"""Out-of-fold probabilities: each training and validation image predicted by a model trained without it."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special
from threadpoolctl import threadpool_limits

from cnnrecipes._support import console
from cnnrecipes.data.image_names import image_names
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.data.sources.random_access_dataset import Source, Split
from cnnrecipes.data.split_part import taken
from cnnrecipes.errors import DataError
from cnnrecipes.fit import train_from
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs.evaluation import predict_split
from cnnrecipes.training.start_or_resume import complete_recipe, find_start
from cnnrecipes.transfer.cross_validation import head_class_weights, pooled
from cnnrecipes.transfer.folds import ALWAYS_TRAINS, fit_chosen, principal_axes, stratified_folds
from cnnrecipes.transfer.frozen_features import frozen_features
from cnnrecipes.transfer.logistic import Examples

_ADJUSTABLE = ("optimizer.warmup", "optimizer.schedule")  # with fewer images an epoch has fewer steps


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Labels and out-of-fold probabilities of the training and validation images.

    Attributes:
        class_names: in label order.
        files: name of each image, as `image_names` gives it.
        positions: (N,) int64, position of each image in the data.
        labels: (N,) class numbers.
        probabilities: (N, classes).
    """

    class_names: tuple[str, ...]
    files: tuple[str, ...]
    positions: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray

    def part(self, chosen: np.ndarray) -> OutOfFold:
        """Return the images of a mask (N,)."""
        files = tuple(name for name, kept in zip(self.files, chosen.tolist(), strict=True) if kept)
        return OutOfFold(
            self.class_names, files, self.positions[chosen], self.labels[chosen], self.probabilities[chosen]
        )


def out_of_fold(
    recipe: Recipe, data: Any = None, *, folds: int, seed: int | None, progress: bool, changes: Mapping[str, Any]
) -> OutOfFold:
    """Return out-of-fold probabilities by `folds` trainings of a recipe.

    For a transfer recipe they are logistic regressions on the frozen features of its backbone, in seconds; for others
    whole trainings of the recipe, each with the weights of its last epoch: the held-out images choose nothing.

    Args:
        recipe, data, seed, progress, changes: as in `fit`.
        folds: number of folds, stratified by class; groups are not divided by trainings.

    Raises:
        DataError: a class has a single image, which cannot be both trained on and predicted, or `folds` is below 2.
        CNNRecipesError: as for `fit`.
    """
    if folds < 2:
        raise DataError(f"{folds} folds cannot hold an image out; give at least 2")
    complete = complete_recipe(recipe, data, seed, changes)
    if complete.transfer.how != "none":
        return _of_features(recipe, data, folds, seed, progress, changes)
    return _of_trainings(complete, data, folds, progress)


def _of_features(recipe: Recipe, data: Any, folds: int, seed, progress: bool, changes) -> OutOfFold:
    """Return probabilities of logistic heads on frozen features, whose strength is chosen by the other folds alone."""
    with frozen_features(recipe, data, seed=seed, progress=progress, changes=changes) as pipeline:
        found, source = pooled(pipeline), pipeline.source
        weights = head_class_weights(pipeline.recipe, found.labels, len(source.class_names))
        splits = [source.split(name) for name in ("train", "validation") if name in source.splits]
        names = tuple(name for split in splits for name in image_names(split, source))
        positions = np.concatenate([split.positions for split in splits])
        rng = np.random.default_rng(pipeline.recipe.train.seed)
    probabilities = np.full((len(found), len(source.class_names)), np.nan)
    assigned = stratified_folds(found.labels, folds, rng)
    with threadpool_limits(1):  # the matrices are small: threads would only wait for each other
        mean, axes = principal_axes(found.features)
        rotated = Examples((np.asarray(found.features, np.float64) - mean) @ axes, found.labels)
        for fold in np.unique(assigned[assigned != ALWAYS_TRAINS]):
            held = assigned == fold
            train, classes = rotated.take(~held), len(source.class_names)
            head = fit_chosen(train, classes, weights, max(folds - 1, 2), rng, calibrated=True)
            probabilities[held] = special.softmax(head.logits(rotated.features[held]), axis=1)
    whole = OutOfFold(source.class_names, names, positions, found.labels, probabilities)
    return whole.part(assigned != ALWAYS_TRAINS)


def _of_trainings(complete: Recipe, data: Any, folds: int, progress: bool) -> OutOfFold:
    """Return probabilities of whole trainings: the training images, with validation images split off from them.

    A validation split of the data itself is predicted by the mean of all models.
    """
    keys = {"train.artifact": "last", "train.early_stopping": None, "logging.watch": "off", "logging.loggers": ()}
    recipe = complete.change(**keys, **{"data.train_images": None})
    say = console.say if progress else console.silent
    with InputPipeline.open(complete, data, say, progress=progress) as pipeline:
        source = pipeline.source
        whole, own = _joined(source)
        _check_counts(whole.labels, source.class_names)
        folds = min(folds, int(np.bincount(whole.labels).max()))
        probabilities = np.empty((len(whole), len(source.class_names)))
        of_own = []
        for number, (kept, held) in enumerate(_folds(whole, folds, complete.train.seed)):
            say(f"training {number + 1} of {folds}, without {len(held):,} of {len(whole):,} images")
            part = replace(source, splits={"train": taken(whole, kept), "validation": taken(whole, held, "validation")})
            with part, tempfile.TemporaryDirectory() as folder:
                artifact = _trained(recipe, part, folder)
                probabilities[held] = predict_split(artifact, part.split("validation"), part).probabilities
                if own is not None:
                    of_own.append(predict_split(artifact, own, source).probabilities)
        parts = [(whole, probabilities), *([(own, np.mean(of_own, axis=0))] if own is not None else [])]
        return OutOfFold(
            source.class_names,
            tuple(name for split, _ in parts for name in image_names(split, source)),
            np.concatenate([split.positions for split, _ in parts]),
            np.concatenate([split.labels for split, _ in parts]),
            np.concatenate([found for _, found in parts]).astype(np.float64),
        )


def _joined(source: Source) -> tuple[Split, Split | None]:
    """Return the training images with a validation split that was split off, and a validation split of the data."""
    train, validation = source.split("train"), source.splits.get("validation")
    if validation is None or validation.images is not train.images:
        return train, validation
    both = [train, validation]
    groups = [split.groups for split in both if split.groups is not None]
    joined = Split(
        "train",
        train.images,
        np.concatenate([split.labels for split in both]),
        np.concatenate([split.positions for split in both]),
        np.concatenate(groups) if len(groups) == len(both) else None,
    )
    return joined, None


def _folds(split: Split, folds: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the indices to train on and those held out, for each fold; stratified, and groups stay together."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    kind = StratifiedKFold if split.groups is None else StratifiedGroupKFold
    yield from kind(folds, shuffle=True, random_state=seed).split(split.labels, split.labels, split.groups)


def _trained(recipe: Recipe, source: Source, folder: str | Path) -> Any:
    """Return the artifact of a training on the splits of a source."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a schedule that is shortened
        start = find_start(recipe, adjustable=_ADJUSTABLE)
        return train_from(start, workdir=folder, progress=False, opened=InputPipeline(source, recipe)).artifact


def _check_counts(labels: np.ndarray, class_names: tuple[str, ...]) -> None:
    """Raise DataError if a class has too few images to be both trained on and held out."""
    counts = np.bincount(labels, minlength=len(class_names))
    if (few := int(counts.min())) < 2:
        name = class_names[int(counts.argmin())]
        raise DataError(
            f"class {name!r} has {few} image(s) of the training and validation images: one cannot be held out of the "
            "training; add some, or leave the class out"
        )

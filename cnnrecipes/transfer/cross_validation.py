"""Repeated stratified cross-validation of the logistic head, with an interval that allows for overlapping folds.

With few images a single validation split says little: 20 images of 100 have a 95% interval of 35 points. Here every
training and validation image is tested once a repeat, by a head fitted without it.

The accuracies of folds are correlated, since their training sets overlap. The interval is that of the corrected
resampled t-test: the variance of their mean is (1/J + test/training images) times the variance of the J accuracies,
with J - 1 degrees of freedom (Nadeau and Bengio 2003, Machine Learning 52, section 4; for repeated folds Bouckaert and
Frank 2004).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special, stats
from threadpoolctl import threadpool_limits

from cnnrecipes.errors import DataError
from cnnrecipes.keras_optim.recipe_loss import class_weights
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.transfer.feature_pipeline import FeaturePipeline
from cnnrecipes.transfer.folds import (
    ALWAYS_TRAINS,
    best_strength,
    fit_strength,
    path_scores,
    principal_axes,
    stratified_folds,
)
from cnnrecipes.transfer.frozen_features import frozen_features
from cnnrecipes.transfer.head_fit import examples
from cnnrecipes.transfer.logistic import Examples

FEW = 50  # images a class below which a run is cross-validated
FOLDS, REPEATS = 5, 4
_LEAST_FOLDS = 3  # with two, the strength could not be chosen by folds
_MANY = 500  # examples from which one repeat is the default: its interval is narrow, and each takes long


def has_few_images(labels: np.ndarray) -> bool:
    """Return True if the median class has fewer than 50 training images.

    The median, since a single rare class does not make the accuracy of the others uncertain.
    """
    return float(np.median(np.unique(labels, return_counts=True)[1])) < FEW


def pooled(pipeline: FeaturePipeline) -> Examples:
    """Return features and labels of the training and validation images, without augmented views."""
    splits = [split for split in ("train", "validation") if pipeline.images(split)]
    return Examples.joined([examples(pipeline, split) for split in splits])


def to_cross_validate(pipeline: FeaturePipeline) -> Examples | None:
    """Return the examples that a run cross-validates by `transfer.cross_validation`; None if it does not."""
    asked = pipeline.recipe.transfer.cross_validation
    if asked == "never" or (asked == "auto" and not has_few_images(pipeline.train.labels)):
        return None
    found = pooled(pipeline)
    return found if np.bincount(found.labels).max() > 1 else None


def head_class_weights(recipe: Recipe, labels: np.ndarray, classes: int) -> Sequence[float] | None:
    """Return the weights of the classes in the loss of a head, as `fit_head` has them; None: 1."""
    everywhere = len(np.unique(labels)) == classes
    return class_weights(labels, classes) if recipe.data.balance != "none" and everywhere else None


def cross_validate(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    data: Any = None,
    *,
    folds: int = FOLDS,
    repeats: int | None = None,
    seed: int | None = None,
    progress: bool = True,
    **changes: Any,
) -> dict[str, Any]:
    """Return the accuracy of logistic regression on a backbone's features by repeated stratified cross-validation.

    Training and validation images are taken together; the test split is not read. See `cross_validated`.

    Args:
        recipe, data, seed, progress, changes: as in `fit`, for example "features_photos" and a folder.
        folds, repeats: as in `cross_validated`.

    Returns:
        {"accuracy", "accuracy_95": [low, high], "folds", "repeats", "n", "seed"}; accuracies 0..1.

    Raises:
        TrainingError: the recipe has no pretrained backbone.
        DataError: the data cannot be read, or are too few.
        CNNRecipesError: the recipe is invalid, or the weights cannot be read.
    """
    with frozen_features(recipe, data, seed=seed, progress=progress, changes=changes) as features:
        found, classes = pooled(features), len(features.class_names)
        weights = head_class_weights(features.recipe, found.labels, classes)
        return cross_validated(
            found, classes, folds=folds, repeats=repeats, seed=features.recipe.train.seed, weights=weights
        )


def cross_validated(
    found: Examples,
    classes: int,
    *,
    folds: int = FOLDS,
    repeats: int | None = None,
    seed: int = 0,
    weights: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Return the accuracy of logistic regression by repeated stratified k-fold cross-validation.

    The strength of a fold's regression is chosen by the other folds alone: each in turn tests regressions on the rest.

    Args:
        found: features and labels, of training and validation images together.
        classes: number of classes.
        folds: at most this many; as many as the smallest class has images, but at least 3. The only image of a class
            is never tested.
        repeats: number of divisions into folds; None: 4, or 1 for more than 500 images.
        seed: of the divisions.
        weights: weight of each class in the loss; None: 1.

    Returns:
        {"accuracy", "accuracy_95": [low, high], "folds", "repeats", "n", "seed"}; accuracies 0..1, n the number of
        images tested.

    Raises:
        DataError: no class has two images, or `folds` or `repeats` is too small.
    """
    counts = np.bincount(found.labels)
    if not len(counts) or counts.max() < 2:
        raise DataError(f"cross-validation needs two images of a class, and there is {counts.max(initial=0)}; add some")
    if folds < _LEAST_FOLDS or (repeats is not None and repeats < 1):
        raise DataError(f"{folds} folds and {repeats} repeats; give at least {_LEAST_FOLDS} folds and 1 repeat")
    folds = min(folds, max(_LEAST_FOLDS, int(counts[counts > 1].min())))
    repeats = repeats or (REPEATS if len(found) <= _MANY else 1)
    rng = np.random.default_rng(seed)
    with threadpool_limits(1):  # the matrices are small: threads would only wait for each other
        mean, axes = principal_axes(found.features)
        rotated = Examples((np.asarray(found.features, np.float64) - mean) @ axes, found.labels)
        rows = [_one_repeat(rotated, classes, weights, folds, rng) for _ in range(repeats)]
    accuracies, sizes = np.concatenate([row[0] for row in rows]), np.concatenate([row[1] for row in rows])
    n = int(sizes.sum()) // repeats
    accuracy = float(np.average(accuracies, weights=sizes))
    low, high = corrected_interval(accuracies, accuracy, n, 1 / (folds - 1))
    return {
        "accuracy": accuracy,
        "accuracy_95": [low, high],
        "folds": folds,
        "repeats": repeats,
        "n": n,
        "seed": seed,
    }


def corrected_interval(accuracies: np.ndarray, mean: float, n: int, ratio: float) -> tuple[float, float]:
    """Return the 95% interval of the mean of J correlated accuracies (Nadeau and Bengio 2003), within 0..1.

    It is symmetric on the scale of log odds, which keeps it within 0..1, and below 1 if there are errors. Where all
    folds are right there is no variance to estimate from: the interval is at least as wide as that of n independent
    images (Wilson 1927).

    Args:
        accuracies: (J,), one of each fold of each repeat.
        mean: their mean.
        n: number of images tested in a repeat.
        ratio: number of test images by that of training images, 1 / (folds - 1).
    """
    count = len(accuracies)
    error = float(np.sqrt((1 / count + ratio) * np.var(accuracies, ddof=1)))
    low, high = wilson_share(mean, n)
    if not 0 < mean < 1:
        return low, high
    half = error * float(stats.t.ppf(0.975, count - 1)) / (mean * (1 - mean))
    lower, upper = special.expit(special.logit(mean) + np.array([-half, half]))
    return min(low, float(lower)), max(high, float(upper))


def wilson_share(share: float, n: float) -> tuple[float, float]:
    """Return the 95% Wilson score interval (low, high) of a share of n, which may be an effective number."""
    z = float(stats.norm.ppf(0.975))
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))) / (1 + z * z / n)
    return max(center - half, 0.0), min(center + half, 1.0)


def _one_repeat(found: Examples, classes: int, weights, folds: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """Return accuracy and number of images of each fold, for one random division into folds.

    A logistic head is fitted for each fold on the images of the others.

    Args:
        found: features and labels.
        classes: number of classes.
        weights: class weights in the loss; None: 1.
        folds: number of folds.
        rng: random numbers of the division.
    """
    assigned = stratified_folds(found.labels, folds, rng)
    parts = [int(fold) for fold in np.unique(assigned) if fold != ALWAYS_TRAINS]
    chosen: dict[int, Any] = {}
    if len(parts) > 2:  # otherwise nothing is left to train on without both
        chosen = _inner_scores(found, classes, weights, assigned, parts)
    accuracies = []
    for fold in parts:
        fitted = fit_strength(found.take(assigned != fold), classes, weights, best_strength(chosen.get(fold)))
        tested = found.take(assigned == fold)
        accuracies.append(fitted.accuracy(tested.features, tested.labels))
    return np.array(accuracies), np.array([np.sum(assigned == fold) for fold in parts])


def _inner_scores(found: Examples, classes: int, weights, assigned: np.ndarray, parts: Sequence[int]):
    """Return the scores of the strengths for each fold, from regressions that have seen nothing of it.

    A regression trained without two folds chooses for each of them by the other.
    """
    sums: dict[int, Any] = dict.fromkeys(parts, 0.0)
    for one, other in itertools.combinations(parts, 2):
        train = found.take((assigned != one) & (assigned != other))
        sums[one] = sums[one] + path_scores(train, found.take(assigned == other), classes, weights)
        sums[other] = sums[other] + path_scores(train, found.take(assigned == one), classes, weights)
    return sums

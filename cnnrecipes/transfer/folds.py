"""Stratified folds of few examples, and the choice of the L2 strength inside training folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnnrecipes.transfer.logistic import STRENGTHS, Examples, Logistic, RegularizationPath, score

ALWAYS_TRAINS = -1  # fold of the only example of a class
_COARSE = STRENGTHS[::4]  # 12 strengths from 1e5 to 1e-6, a factor of 10 apart
_MIDDLE = STRENGTHS[len(STRENGTHS) // 2]
_PATIENCE = 3  # a path ends after so many strengths that are worse than the best
_TOLERANCE = 1e-4


def principal_axes(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (D,) and principal axes (D, R) of features (N, D), with R at most N.

    Logistic regressions on subsets of the examples have the same solutions in these axes as on the features: their
    penalty does not change under rotations.
    """
    features = np.asarray(features, np.float64)
    mean = features.mean(axis=0)
    centered = features - mean
    wide = len(centered) < centered.shape[1]
    values, vectors = np.linalg.eigh(centered @ centered.T if wide else centered.T @ centered)
    kept = values > 1e-12 * max(values[-1], 1e-300)
    vectors = vectors[:, kept]
    return mean, centered.T @ vectors / np.sqrt(values[kept]) if wide else vectors


def stratified_folds(labels: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold (N,) of each example, drawn; the folds of a class differ by at most one in size, as all folds do.

    A class with fewer examples than folds is in as many folds as it has examples; its only example is ALWAYS_TRAINS.
    """
    assigned, dealt = np.empty(len(labels), np.int64), 0
    for each in rng.permutation(np.unique(labels)):
        index = rng.permutation(np.flatnonzero(labels == each))
        if len(index) == 1:
            assigned[index] = ALWAYS_TRAINS
            continue
        assigned[index] = (dealt + np.arange(len(index))) % folds  # dealt like cards, over the classes
        dealt += len(index)
    return assigned


def path_scores(train: Examples, tested: Examples, classes: int, class_weights: Sequence[float] | None) -> np.ndarray:
    """Return accuracy and negative cross entropy (strengths, 2) on `tested` of logistic regressions fitted to `train`.

    One regression for each L2 strength of `_COARSE`, from strong to weak, until the scores fall; the strengths after
    that get the last scores. The features of the examples are in principal axes.
    """
    path = RegularizationPath(train, classes, class_weights, rotate=False, tolerance=_TOLERANCE)
    found: list[tuple[float, float]] = []
    for fitted in path.fits(_COARSE):
        found.append(score(fitted, tested))
        if len(found) - 1 - max(range(len(found)), key=lambda i: found[i]) >= _PATIENCE and found[-1] < found[-2]:
            break
    return np.array(found + [found[-1]] * (len(_COARSE) - len(found)))


def best_strength(scores: np.ndarray | None, *, calibrated: bool = False) -> float:
    """Return the strength of highest accuracy, of several that of the lowest cross entropy; scores (strengths, 2).

    Args:
        scores: of `path_scores`. None, if there are too few examples to choose by, gives a middle one.
        calibrated: choose by the cross entropy alone, for probabilities that are neither too sure nor too unsure.
    """
    if scores is None:
        return float(_MIDDLE)
    if calibrated:
        return float(_COARSE[int(np.argmax(scores[:, 1]))])
    return float(_COARSE[max(range(len(scores)), key=lambda i: (round(scores[i][0], 9), scores[i][1]))])


def fit_strength(train: Examples, classes: int, class_weights: Sequence[float] | None, strength: float) -> Logistic:
    """Return the regression of one strength; examples are in principal axes."""
    path = RegularizationPath(train, classes, class_weights, rotate=False, tolerance=_TOLERANCE)
    return next(iter(path.fits([strength])))


def fit_chosen(
    train: Examples,
    classes: int,
    class_weights: Sequence[float] | None,
    folds: int,
    rng: np.random.Generator,
    *,
    calibrated: bool = False,
) -> Logistic:
    """Return the regression with the strength that stratified folds of `train` choose, or a middle one of too few.

    `calibrated`: as for `best_strength`.
    """
    assigned = stratified_folds(train.labels, folds, rng)
    parts = [fold for fold in np.unique(assigned) if fold != ALWAYS_TRAINS]
    if len(parts) < 2:
        return fit_strength(train, classes, class_weights, best_strength(None))
    scores = [
        path_scores(train.take(assigned != fold), train.take(assigned == fold), classes, class_weights)
        for fold in parts
    ]
    return fit_strength(train, classes, class_weights, best_strength(np.mean(scores, axis=0), calibrated=calibrated))

"""Learning curve: accuracy of the logistic head by the number of training images, and what more would bring.

Subsets of the training split are nested and stratified, several draws of each size; each head is measured on the
validation split, which chooses nothing: strengths are chosen by folds of the subset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from cnnrecipes._support.progress import watch
from cnnrecipes.errors import DataError
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.transfer.cross_validation import head_class_weights, wilson_share
from cnnrecipes.transfer.folds import fit_chosen, principal_axes
from cnnrecipes.transfer.frozen_features import frozen_features
from cnnrecipes.transfer.head_fit import examples
from cnnrecipes.transfer.logistic import Examples
from cnnrecipes.transfer.power_law import doubling

REPEATS = 5
_FOLDS = 3  # of a subset, to choose the strength


def learning_curve(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    data: Any = None,
    *,
    repeats: int = REPEATS,
    seed: int | None = None,
    progress: bool = True,
    **changes: Any,
) -> pd.DataFrame:
    """Return the validation accuracy of logistic regression on a backbone's features by the number of training images.

    Args:
        recipe, data, seed, progress, changes: as in `fit`, for example "features_photos" and a folder.
        repeats: number of drawn subsets of each size; all images are one subset.

    Returns:
        One row for each size: images_a_class (mean over the classes), images, accuracy (mean over the repeats), low and
        high (95% interval of it), repeats; `attrs["doubling"]` is a `Doubling`. See `measure`.

    Raises:
        TrainingError: the recipe has no pretrained backbone.
        DataError: there is no validation split, or too few images; or the data cannot be read.
        CNNRecipesError: the recipe is invalid, or the weights cannot be read.
    """
    with frozen_features(recipe, data, seed=seed, progress=progress, changes=changes) as features:
        if not features.images("validation"):
            raise DataError(
                "a learning curve is measured on the validation split, and there is none; set data.validation > 0"
            )
        train, held_out = examples(features, "train"), examples(features, "validation")
        classes = len(features.class_names)
        return measure(
            train,
            held_out,
            classes,
            repeats=repeats,
            seed=features.recipe.train.seed,
            weights=head_class_weights(features.recipe, train.labels, classes),
            progress=progress,
        )


def measure(
    train: Examples,
    held_out: Examples,
    classes: int,
    *,
    repeats: int = REPEATS,
    seed: int = 0,
    weights: Sequence[float] | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Return the learning curve on given features, as `learning_curve` does.

    The interval has the variance of the drawn subsets and that of the validation images. Subsets near the whole split
    overlap, so the first part is too small there.

    Raises:
        DataError: `repeats` is below 1, or an empty split.
    """
    if repeats < 1 or not len(train) or not len(held_out):
        raise DataError(
            f"{repeats} repeats, {len(train)} training and {len(held_out)} validation images; give at least one of each"
        )
    rng = np.random.default_rng(seed)
    each = sizes(len(train) / len(np.unique(train.labels)))
    orders = [class_orders(train.labels, rng) for _ in range(repeats)]
    plan = [(size, orders[:1] if size == each[-1] else orders) for size in each]
    todo = [(size, nested_subset(order, size, each[-1])) for size, drawn in plan for order in drawn]
    right: dict[float, list[np.ndarray]] = {}
    images: dict[float, int] = {}
    with threadpool_limits(1):
        for size, index in watch(todo, "learning curve", len(todo), progress):
            right.setdefault(size, []).append(_hits(train.take(index), held_out, classes, weights, rng))
            images[size] = len(index)
    hits = {images[size]: np.array(found) for size, found in right.items()}
    return curve_table(hits, len(np.unique(train.labels)), rng)


def curve_table(hits: Mapping[int, np.ndarray], classes: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return a learning curve from the predictions on the validation images; see `learning_curve`.

    Args:
        hits: number of training images to (repeats, validation images), True where the prediction is right.
        classes: number of classes in the training split.
        rng: of the bootstrap.
    """
    rows = [(images / classes, images, *_mean_interval(found), len(found)) for images, found in sorted(hits.items())]
    frame = pd.DataFrame(rows, columns=["images_a_class", "images", "accuracy", "low", "high", "repeats"])
    frame.attrs["doubling"] = doubling(hits, rng)
    frame.attrs["validation_images"] = next(iter(hits.values())).shape[1]
    return frame


def sizes(most: float) -> list[float]:
    """Return 1, 2, 5, 10, 20, 50, ... images a class, and `most` at the end; none of them above 0.8 x `most`."""
    steps = (base * 10**power for power in range(9) for base in (1, 2, 5))
    return [*(float(step) for step in steps if step <= 0.8 * most), most]


def class_orders(labels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Return the positions of the examples of each class in a drawn order, of which subsets are the beginnings."""
    return [rng.permutation(np.flatnonzero(labels == each)) for each in np.unique(labels)]


def nested_subset(orders: Sequence[np.ndarray], size: float, most: float) -> np.ndarray:
    """Return the positions of a subset with the shares of the whole, at least one of each class.

    Args:
        orders: result of `class_orders`.
        size: mean number of examples of a class.
        most: that of all examples.
    """
    return np.concatenate([order[: max(1, round(len(order) * size / most))] for order in orders])


def _hits(train: Examples, held_out: Examples, classes: int, weights, rng: np.random.Generator) -> np.ndarray:
    """Return (validation images,) bool: which a regression on `train` predicts right."""
    mean, axes = principal_axes(train.features)
    rotated = Examples((np.asarray(train.features, np.float64) - mean) @ axes, train.labels)
    fitted = fit_chosen(rotated, classes, weights, _FOLDS, rng)
    logits = fitted.logits((np.asarray(held_out.features, np.float64) - mean) @ axes)
    return logits.argmax(axis=1) == held_out.labels


def _mean_interval(hits: np.ndarray) -> tuple[float, float, float]:
    """Return mean and 95% interval of the accuracy of hits (repeats, validation images)."""
    repeats, n = hits.shape
    mean = float(hits.mean())
    drawn = float(np.var(hits.mean(axis=1), ddof=1)) / repeats if repeats > 1 else 0.0
    binomial = mean * (1 - mean) / n
    effective = n * binomial / (binomial + drawn) if binomial else n
    return (mean, *wilson_share(mean, effective))

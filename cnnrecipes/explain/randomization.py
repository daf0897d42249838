"""Sanity check of an explanation: a map that depends on the model changes with its weights (Adebayo et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from scipy import stats

from cnnrecipes.explain.examined import Examined
from cnnrecipes.explain.grad_cam import GradCam
from cnnrecipes.models.variable_snapshot import restored
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.trained_model import Artifact


def randomization_check(
    subject: Run | Artifact | keras.Model,
    images: Any,
    classes: int | str | Sequence[int | str] | None = None,
    *,
    seed: int = 0,
) -> np.ndarray:
    """Return the rank correlation of Grad-CAM before and after the kernels are randomized, one for each image.

    The model parameter randomization test (Adebayo et al. 2018, section 3): a map that stays nearly the same, with
    correlations near 1, does not explain what the model has learned, only for example where the image has edges. The
    values of each kernel are shuffled, so that its distribution stays; norms and biases are unchanged. The weights are
    restored afterwards.

    Args:
        subject, images, classes: as for `grad_cam`; the predicted classes are those before the randomization.
        seed: of the shuffling.

    Returns:
        (N,) float32, Spearman's rank correlation, -1..1; 0 if one of the maps is constant.

    Raises:
        CNNRecipesError: as `grad_cam`.
    """
    examined = Examined(subject)
    fitted = examined.fitted(examined.read(images))
    numbers = examined.class_numbers(classes, len(fitted))
    predicted = examined.logits(fitted).argmax(axis=1).astype(np.int32)
    numbers = np.where(numbers < 0, predicted, numbers)
    maps = GradCam(subject)
    before = maps.of_fitted(fitted, numbers)
    with restored(examined.model):
        _shuffle_kernels(examined.model, np.random.default_rng(seed))
        after = maps.of_fitted(fitted, numbers)
    return np.asarray([_correlation(one, other) for one, other in zip(before, after, strict=True)], np.float32)


def _shuffle_kernels(model: keras.Model, rng: np.random.Generator) -> None:
    """Permute the values of each weight of two or more axes, in place."""
    for weight in model.weights:
        if len(weight.shape) > 1:
            values = np.asarray(weight.numpy())
            weight.assign(rng.permutation(values.reshape(-1)).reshape(values.shape))


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0 or not np.isfinite(other).all():
        return 0.0
    return float(stats.spearmanr(one, other, axis=None).statistic)

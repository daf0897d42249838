"""Probe of labels: do features of images predict them better than permuted labels?

Two predictions of each image from the others: by the label of its nearest neighbor, and by ridge regression of the
one-hot labels. Leave-one-out predictions of a linear smoother with matrix H are (H y - h y) / (1 - h), where h is the
diagonal of H, so that one matrix serves the labels, shifted labels, and all permutations. Accuracies are balanced, the
mean over the classes: the plain accuracy of a class that almost all images have is high without any relation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_RIDGES = (0.01, 0.3)  # strengths relative to the trace of the kernel
PERMUTATIONS = 30
UNKNOWN = -1  # label of an image that is left out of an accuracy


@dataclass(frozen=True)
class Relation:
    """Accuracy with which features predict labels.

    Attributes:
        method: features and method, for example "neighbors in pixels".
        accuracy: share of the images whose label the other images predict, 0..1, the mean over the classes.
        permuted: the mean of that for permuted labels.
        deviations: how many standard deviations of the permuted accuracies the accuracy lies above their mean.
        shifted: accuracy for the labels of other positions: shift -> accuracy.
        n: number of images.
        balanced_n: number of images of a balanced sample in which accuracies vary as much.
    """

    method: str
    accuracy: float
    permuted: float
    deviations: float
    shifted: Mapping[int, float]
    n: int
    balanced_n: float

    def __str__(self) -> str:
        return f"{self.accuracy:.1%} by {self.method} of {self.n:,} images, {self.permuted:.1%} with permuted labels"


def relations(
    features: Mapping[str, np.ndarray],
    labels: np.ndarray,
    classes: int,
    shifted: Mapping[int, np.ndarray] | None = None,
    seed: int = 0,
) -> list[Relation]:
    """Return the relation of each kind of features to labels, by each method; the strongest first.

    Args:
        features: name -> (N, D), standardized columns.
        labels: (N,) class numbers.
        classes: number of classes.
        shifted: shift -> labels (N,) of other positions, UNKNOWN where there are none.
        seed: of the permutations.
    """
    rng, shifted = np.random.default_rng(seed), shifted or {}
    labellings = [labels, *shifted.values(), *(rng.permutation(labels) for _ in range(PERMUTATIONS))]
    found, size = [], min(map(balanced_size, [labels, *shifted.values()]))
    for name, rows in features.items():
        kinds = {
            f"a linear model of {name}": left_out_accuracies(rows, labellings, classes),
            f"nearest neighbors in {name}": neighbor_accuracies(rows, labellings),
        }
        for method, accuracies in kinds.items():
            own, of_shifts, permuted = np.split(accuracies, [1, 1 + len(shifted)])
            deviation = max(permuted.std(), 0.5 / max(size, 1.0))
            above = float((own[0] - permuted.mean()) / deviation)
            by_shift = dict(zip(shifted, of_shifts.tolist(), strict=True))
            found.append(Relation(method, float(own[0]), float(permuted.mean()), above, by_shift, len(labels), size))
    return sorted(found, key=lambda one: -one.deviations)


def left_out_accuracies(features: np.ndarray, labellings: Sequence[np.ndarray], classes: int) -> np.ndarray:
    """Return the balanced leave-one-out accuracy of each labelling by ridge regression, the best of two strengths.

    The predicted class is the one whose output is farthest above its mean, in standard deviations of the targets, so
    that rare classes are predicted too.

    Args:
        features: (N, D), standardized columns.
        labellings: label vectors (N,), class numbers or UNKNOWN.
        classes: number of classes.
    """
    features = features.astype(np.float32)
    n, kernel = len(features), features @ features.T / features.shape[1]
    one_hot = np.vstack([np.eye(classes), np.zeros(classes)]).astype(np.float32)  # the last row: UNKNOWN
    targets = np.concatenate([one_hot[one] for one in labellings], axis=1)
    best = np.zeros(len(labellings))
    share = targets.mean(axis=0)
    spread = np.sqrt(np.maximum(share * (1 - share), 1e-12))
    for ridge in _RIDGES:
        strength, identity = ridge * np.trace(kernel), np.eye(n, dtype=np.float32)
        hat = identity - strength * np.linalg.inv(kernel + 1.0 + strength * identity)  # 1.0: an intercept
        own = np.diag(hat)[:, None]
        scores = np.where(share > 0, ((hat @ targets - own * targets) / (1 - own) - share) / spread, -np.inf)
        predicted = scores.reshape(n, len(labellings), classes).argmax(axis=2)
        best = np.maximum(best, [_agreement(predicted[:, i], one) for i, one in enumerate(labellings)])
    return best


def neighbor_accuracies(features: np.ndarray, labellings: Sequence[np.ndarray]) -> np.ndarray:
    """Return for each labelling the balanced accuracy of the label of the nearest neighbor; features (N, D)."""
    nearest = _distances(features).argmin(axis=1)
    return np.array([_agreement(one[nearest], one) for one in labellings])


def neighbor_ratio(features: np.ndarray) -> float:
    """Return the median distance of an image to its nearest other one, relative to that of two images.

    Near 1 for noise, where no image is like another; near 0 for copies.
    """
    distances = _distances(features)
    pairs = distances[np.isfinite(distances)]
    return float(np.median(distances.min(axis=1)) / max(float(np.median(pairs)), 1e-12))


def _distances(features: np.ndarray) -> np.ndarray:
    """Return the Euclidean distances (N, N) of rows; infinite on the diagonal."""
    squares = (features**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * features @ features.T, 0))
    np.fill_diagonal(distances, np.inf)
    return distances


def balanced_size(labels: np.ndarray) -> float:
    """Return the size of a balanced sample in which a balanced accuracy varies as much: K^2 / sum(1 / N of a class)."""
    sizes = np.unique(labels[labels != UNKNOWN], return_counts=True)[1]
    return float(len(sizes) ** 2 / np.sum(1 / sizes)) if len(sizes) else 0.0


def _agreement(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of right predictions in each class, averaged over the classes."""
    known = labels != UNKNOWN
    if not known.any():
        return 0.0
    sizes = np.bincount(labels[known])
    right = np.bincount(labels[known & (predicted == labels)], minlength=len(sizes))
    return float(np.mean(right[sizes > 0] / sizes[sizes > 0]))

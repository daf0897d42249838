"""Confident learning: which labels are probably wrong, by predictions of models that have not seen them.

Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70. The result is
that of cleanlab's `find_label_issues` with its defaults, but for rounding, ordered by self-confidence.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cnnrecipes.errors import DataError

_SUM = 1e-3  # by which the sum of probabilities may differ from 1


def confident_joint(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the number of examples by label and confidently predicted class, (classes, classes) int64 (equation 1).

    Args:
        labels: (N,) class numbers, some of them wrong.
        probabilities: (N, classes), out of fold.

    Raises:
        DataError: as for `find_label_issues`.
    """
    _check(labels, probabilities)
    counts = np.zeros((probabilities.shape[1],) * 2, np.int64)
    confident = _confident_classes(labels, probabilities)
    np.add.at(counts, (labels[confident >= 0], confident[confident >= 0]), 1)
    return counts


def find_label_issues(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Return the examples whose labels are probably wrong, the least likely label first.

    An example belongs confidently to a class if its probability is at least the mean probability of that class over the
    examples with this label; of several, to the one with the highest probability (section 3.1). The counts by label i
    and confident class j, scaled to the number of examples with label i, estimate how many of these are of class j; so
    many are taken, those with the largest margin p_j - p_i ("prune by noise rate", section 3.2). Labels that are the
    most probable class are never taken.

    Args:
        labels: (N,) class numbers, some of them wrong.
        probabilities: (N, classes), each row by a model that was trained without this example.

    Returns:
        columns index (into `labels`), given and suggested (class numbers), and score: the probability of the given
        label, 0..1; low means that it is probably wrong.

    Raises:
        DataError: the shapes do not fit, fewer than two classes have examples, or the rows are no probabilities.
    """
    joint = confident_joint(labels, probabilities).astype(float)
    images = np.bincount(labels, minlength=len(joint))
    counts = np.rint(joint / np.maximum(joint.sum(axis=1, keepdims=True), 1) * images[:, None]).astype(int)
    chosen = np.zeros(probabilities.shape)  # the probability of each class for which an example is taken
    for label, other in zip(*np.nonzero(counts), strict=True):
        if label != other:
            own = np.flatnonzero(labels == label)
            margins = probabilities[own, other] - probabilities[own, label]
            taken = own[np.argsort(-margins, kind="stable")[: counts[label, other]]]
            chosen[taken, other] = probabilities[taken, other]
    index = np.flatnonzero(chosen.any(axis=1) & (probabilities.argmax(axis=1) != labels))
    index = index[np.argsort(probabilities[index, labels[index]], kind="stable")]
    return pd.DataFrame(
        {
            "index": index,
            "given": labels[index],
            "suggested": chosen[index].argmax(axis=1),
            "score": probabilities[index, labels[index]].astype(float),
        }
    )


def _confident_classes(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the class (N,) to which each example belongs confidently; -1 if there is none."""
    sums = np.zeros(probabilities.shape[1])
    np.add.at(sums, labels, probabilities[np.arange(len(labels)), labels])
    images = np.bincount(labels, minlength=len(sums))
    thresholds = np.where(images > 0, sums / np.maximum(images, 1), np.inf)
    reached = probabilities >= thresholds - 1e-6  # rounding must not exclude a class of equal probabilities
    best = np.where(reached, probabilities, -1).argmax(axis=1)
    return np.where(reached.any(axis=1), best, -1)


def _check(labels: np.ndarray, probabilities: np.ndarray) -> None:
    """Raise DataError unless these are labels and probabilities of two classes or more."""
    if probabilities.ndim != 2 or labels.shape != (len(probabilities),):
        raise DataError(
            f"labels have shape {labels.shape}, probabilities {probabilities.shape}; give (N,) and (N, classes)"
        )
    if len(np.unique(labels)) < 2:
        raise DataError(
            f"{len(labels)} examples are of {len(np.unique(labels))} class(es); label errors need at least two classes"
        )
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise DataError(
            f"labels are {labels.min()} to {labels.max()} of {probabilities.shape[1]} classes; number them from 0"
        )
    sums = probabilities.sum(axis=1)
    if not np.isfinite(probabilities).all() or np.abs(sums - 1).max() > _SUM:
        raise DataError("the rows of probabilities must be finite, with a sum of 1; give probabilities, not logits")

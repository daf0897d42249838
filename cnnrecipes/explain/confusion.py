"""Confusion matrix in an order of the classes that puts similar ones side by side, and the most confused pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cnnrecipes.runs.predictions import Predictions

_MOST_ORDERED = 500  # classes; the optimal order of 1,000 takes 4 to 15 s, so more keep the order of the clustering


@dataclass(frozen=True, eq=False)
class Confusion:
    """The confusion matrix of a split.

    Attributes:
        split: name of the split.
        matrix: (classes, classes) int64, number of images with a label (row) and a predicted class (column).
        class_names: in label order, that of the rows and columns of `matrix`.
        order: (classes,) class numbers, similar classes side by side; `matrix[order][:, order]` shows them so.
        pairs: confused pairs, the most frequent first: truth and predicted (class names), n, and share (of the images
            with this label, 0..1).
    """

    split: str
    matrix: np.ndarray
    class_names: tuple[str, ...]
    order: np.ndarray
    pairs: pd.DataFrame

    def __str__(self) -> str:
        if self.pairs.empty:
            return f"no image of the {self.split} split is in a wrong class"
        first = self.pairs.iloc[0]
        total = int(self.matrix[self.class_names.index(first["truth"])].sum())
        return (
            f"most confused ({self.split}): {first['truth']} as {first['predicted']}, {first['n']} of {total} "
            f"({first['share']:.0%})"
        )


def confusion(predictions: Predictions) -> Confusion:
    """Return the confusion matrix of predictions, the order of its classes by similarity, and the confused pairs."""
    from sklearn.metrics import confusion_matrix

    count = len(predictions.class_names)
    matrix = confusion_matrix(predictions.truth, predictions.predicted, labels=np.arange(count)).astype(np.int64)
    return Confusion(
        predictions.split,
        matrix,
        predictions.class_names,
        similarity_order(_mean_probabilities(predictions)),
        _pairs(matrix, predictions.class_names),
    )


def _mean_probabilities(predictions: Predictions) -> np.ndarray:
    """Return the mean probabilities (classes, classes) of the images of each class; zeros without images.

    Counts of confusions alone leave most pairs of classes without an order.
    """
    count = len(predictions.class_names)
    sums = np.zeros((count, count))
    np.add.at(sums, predictions.truth, predictions.probabilities)
    images = np.bincount(predictions.truth, minlength=count)
    return sums / np.maximum(images, 1)[:, None]


def similarity_order(shares: np.ndarray) -> np.ndarray:
    """Return the classes (C,) in an order that puts those side by side that are confused with each other.

    Average linkage on the symmetrized confusion, with the leaf order that minimizes the distances of neighbors
    (Bar-Joseph et al. 2001).

    Args:
        shares: (C, C), share of the images of a class (row) that is predicted as another (column), 0..1.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    count = len(shares)
    if count < 3:
        return np.arange(count)
    similar = (shares + shares.T) / 2
    np.fill_diagonal(similar, 0)
    # The logarithm, since most classes are hardly ever confused: shares of 0.1% and 0.01% differ as 10% and 1% do.
    distance = -np.log10(np.clip(similar, 1e-6, 1))
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=count <= _MOST_ORDERED)
    return leaves_list(tree).astype(np.int64)


def _pairs(matrix: np.ndarray, class_names: tuple[str, ...]) -> pd.DataFrame:
    """Return the confused pairs as a table, the most frequent first."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    rows, columns = np.nonzero(wrong)
    shares = wrong[rows, columns] / matrix.sum(axis=1)[rows]
    order = np.lexsort((columns, rows, -shares, -wrong[rows, columns]))
    rows, columns = rows[order], columns[order]
    return pd.DataFrame(
        {
            "truth": [class_names[i] for i in rows.tolist()],
            "predicted": [class_names[i] for i in columns.tolist()],
            "n": wrong[rows, columns],
            "share": shares[order],
        }
    )

"""Multinomial logistic regression on features by L-BFGS, with the L2 strength chosen on held-out examples.

The protocol of Kornblith et al. 2019 (arXiv:1805.08974, appendix A.3): 45 strengths, spaced evenly on a logarithmic
scale from 1e-6 to 1e5, of which the best on held-out examples is taken. Unlike there the result is not fitted again to
training and validation examples together, so that the validation split still measures it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from cnnrecipes.errors import NonFinite

STRENGTHS = tuple(np.logspace(5, -6, 45))  # the strongest first: its solution is near zero, where the solver starts
FOLDS = 5
_ITERATIONS = 1000
_TOLERANCE = 1e-6
# Up to as many feature values, more than one thread takes longer, several times so on a busy machine.
_ONE_THREAD = 2**24
_ABSENT = -100.0  # bias of a class without training examples: never predicted, with a finite loss


@dataclass(frozen=True)
class Logistic:
    """A fitted logistic regression: logits = features @ kernel + bias.

    Attributes:
        kernel: (D, classes) float64.
        bias: (classes,) float64.
        strength: coefficient of the squared L2 norm of the kernel, relative to the summed cross entropy.
        held_out_accuracy: share of the examples that chose the strength with the right class, 0..1; NaN if there were
            none.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
    held_out_accuracy: float = math.nan

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return logits (N, classes) of features (N, D)."""
        return features @ self.kernel + self.bias

    def accuracy(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return the share of examples with the right class."""
        return float(np.mean(self.logits(features).argmax(axis=1) == labels))


@dataclass(frozen=True)
class Examples:
    """Features with their classes.

    Attributes:
        features: (N, D), any float dtype.
        labels: (N,) integers from 0.
    """

    features: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray) -> Examples:
        """Return the examples at the given positions."""
        return Examples(self.features[index], self.labels[index])

    @classmethod
    def joined(cls, parts: Sequence[Examples]) -> Examples:
        """Return the examples of all parts together."""
        features, labels = zip(*((part.features, part.labels) for part in parts), strict=True)
        return cls(np.concatenate(features), np.concatenate(labels))


def fit_logistic(
    train: Examples,
    held_out: Examples | None = None,
    *,
    classes: int,
    class_weights: Sequence[float] | None = None,
    strengths: Sequence[float] = STRENGTHS,
) -> Logistic:
    """Fit a logistic regression on training examples, with the strength that is best on others.

    Args:
        train: the training examples; those of a class are needed only if `held_out` has them.
        held_out: examples that choose the strength; None: stratified cross-validation on the training examples, or the
            middle of `strengths` if a class has only one.
        classes: number of classes.
        class_weights: weight of each class in the loss; None: 1.
        strengths: strengths to choose from. The one of highest accuracy is taken; of several, that of the lowest cross
            entropy.

    Raises:
        NonFinite: features that are NaN or infinite.
    """
    if not np.isfinite(train.features).all():
        raise NonFinite(
            "the features of training images have values that are NaN or infinite; check the weights of the backbone, "
            "or set transfer.features_dtype=float32"
        )
    with threadpool_limits(1 if train.features.size <= _ONE_THREAD else None), warnings.catch_warnings():
        # The weakest strengths on separable classes: more iterations would change the accuracy little.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return _best(train, held_out, classes, class_weights, strengths)


def _best(train: Examples, held_out: Examples | None, classes: int, class_weights, strengths) -> Logistic:
    """Return the solution of the best strength; arguments as for `fit_logistic`."""
    path = RegularizationPath(train, classes, class_weights)
    ordered = sorted(strengths, reverse=True)
    if held_out is not None and len(held_out):
        scored = ((score(one, held_out), one) for one in path.fits(ordered))
        (accuracy, _), best = max(scored, key=lambda pair: pair[0])
    else:
        scores = _cross_validated(train, classes, class_weights, ordered)
        chosen = max(range(len(ordered)), key=lambda i: scores[i])
        # From the start of the path, as above: each solution is the start of the next.
        accuracy, best = scores[chosen][0], list(path.fits(ordered[: chosen + 1]))[-1]
    return replace(best, held_out_accuracy=accuracy)


class RegularizationPath:
    """Solutions for decreasing strengths, each starting from the one before.

    The penalty does not change under rotations, so the problem is solved in the principal axes of the training
    features, of which there are at most N: 20 times faster for 244 examples with 1,280 features.

    Args:
        train: the training examples.
        classes: number of classes.
        class_weights: weight of each class in the loss; None: 1.
        rotate: False: the features are in principal axes already, for example those of more examples.
        tolerance: of the gradient, as in scikit-learn.
    """

    def __init__(
        self,
        train: Examples,
        classes: int,
        class_weights: Sequence[float] | None,
        *,
        rotate: bool = True,
        tolerance: float = _TOLERANCE,
    ):
        features = np.asarray(train.features, np.float64)
        self._labels, self._classes, self._tolerance = train.labels, classes, tolerance
        self._weights = None if class_weights is None else np.asarray(class_weights)[train.labels]
        self._mean = features.mean(axis=0)
        if not rotate:
            self._axes, self._rotated = None, features - self._mean
            return
        centered = features - self._mean
        if len(centered) < centered.shape[1]:
            u, scale, self._axes = np.linalg.svd(centered, full_matrices=False)
            self._rotated = u * scale
        else:
            self._axes = np.linalg.eigh(centered.T @ centered)[1].T
            self._rotated = centered @ self._axes.T

    def fits(self, strengths: Sequence[float]):
        """Yield the solution of each strength."""
        present = np.unique(self._labels)
        if len(present) == 1:  # nothing to separate
            bias = np.where(np.arange(self._classes) == present[0], 0.0, _ABSENT)
            yield from (Logistic(np.zeros((len(self._mean), self._classes)), bias, each) for each in strengths)
            return
        solver = LogisticRegression(warm_start=True, max_iter=_ITERATIONS, tol=self._tolerance)
        for strength in strengths:
            solver.C = 1 / (2 * strength)  # scikit-learn: C * summed cross entropy + |w|^2 / 2
            solver.fit(self._rotated, self._labels, self._weights)
            yield self._solution(solver, strength)

    def _solution(self, solver: LogisticRegression, strength: float) -> Logistic:
        coefficients, intercept = solver.coef_, solver.intercept_
        if len(coefficients) == 1:  # two classes: scikit-learn has the logit of the second one alone
            coefficients, intercept = (np.concatenate([-one, one]) / 2 for one in (coefficients, intercept))
        kernel = np.zeros((len(self._mean), self._classes))
        bias = np.full(self._classes, _ABSENT)
        kernel[:, solver.classes_] = coefficients.T if self._axes is None else self._axes.T @ coefficients.T
        bias[solver.classes_] = intercept - self._mean @ kernel[:, solver.classes_]
        return Logistic(kernel, bias, strength)


def score(fitted: Logistic, examples: Examples) -> tuple[float, float]:
    """Return accuracy and negative cross entropy, by which the strength of the regularization is chosen."""
    logits = fitted.logits(np.asarray(examples.features, np.float64))
    losses = special.logsumexp(logits, axis=1) - logits[np.arange(len(examples)), examples.labels]
    return float(np.mean(logits.argmax(axis=1) == examples.labels)), -float(losses.mean())


def _cross_validated(train: Examples, classes: int, class_weights, strengths: Sequence[float]):
    """Return the mean scores of the strengths over stratified folds; equal ones if a class has only one example."""
    folds = min(FOLDS, int(np.bincount(train.labels)[np.unique(train.labels)].min()))
    if folds < 2:
        middle = len(strengths) // 2
        return [(math.nan, -abs(i - middle)) for i in range(len(strengths))]
    splitter = StratifiedKFold(folds, shuffle=True, random_state=0)
    sums = np.zeros((len(strengths), 2))
    for fitted, left in splitter.split(train.features, train.labels):
        path = RegularizationPath(train.take(fitted), classes, class_weights)
        sums += [score(one, train.take(left)) for one in path.fits(strengths)]
    return [tuple(row) for row in sums / folds]

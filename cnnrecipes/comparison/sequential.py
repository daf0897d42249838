"""Anytime-valid t test: p-values and intervals of a mean that hold at every number of seeds, however one stops.

The e-value is the ratio of likelihoods of the t statistic: effect size delta = mean / deviation ~ N(0, g) against
delta = 0, with the right Haar prior on the deviation. Under the null hypothesis it is a nonnegative martingale that
starts at 1 (Lai 1976; Perez-Ortiz, Lardy, de Heide & Grunwald 2024, Annals of Statistics 52), so by Ville's inequality
it ever reaches 1 / alpha with a probability of at most alpha. The test is inverted to a confidence sequence, as by
Wang & Ramdas (2025), "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance".
Differences are taken as normal and independent, as by the t test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cnnrecipes.comparison.paired import ALPHA, Difference, deviation

EFFECT_VARIANCE = 4.0  # g; differences between recipes are often some times the deviation between seeds


def e_value(differences: Sequence[float] | np.ndarray, resolution: float = 0.0) -> float:
    """Return the e-value against a mean of 0, a Bayes factor: Gonen et al. (2005), The American Statistician 59.

    Args:
        differences: (n,); with n = 1 the e-value is 1.
        resolution: the accuracies are multiples of it, which sets a least deviation; see `paired.deviation`.
    """
    n = len(differences)
    if n < 2:
        return 1.0
    spread = deviation(differences, resolution)
    mean = float(np.mean(differences))
    if spread == 0:
        return 1.0 if mean == 0 else math.inf
    ratio, squared = 1 + n * EFFECT_VARIANCE, n * (mean / spread) ** 2 / (n - 1)
    log = -0.5 * math.log(ratio) + 0.5 * n * (math.log1p(squared) - math.log1p(squared / ratio))
    return math.exp(min(log, 700.0))


def anytime_p(differences: Sequence[float] | np.ndarray, resolution: float = 0.0) -> float:
    """Return the p-value of a mean of 0 that holds at every number of seeds: 1 / the highest e-value so far."""
    values = list(differences)
    highest = max(e_value(values[:count], resolution) for count in range(1, len(values) + 1))
    return min(1 / highest, 1.0)


def half_width(spread: float, n: int, alpha: float = ALPHA) -> float:
    """Return the half width of the confidence sequence of a mean after `n` differences; infinite for the first few."""
    ratio = 1 + n * EFFECT_VARIANCE
    bound = (math.sqrt(ratio) / alpha) ** (2 / n)
    if n < 2 or bound >= ratio:
        return math.inf
    return spread * math.sqrt((n - 1) * (bound - 1) / (1 - bound / ratio) / n)


def anytime_t(differences: Sequence[float] | np.ndarray, resolution: float = 0.0, alpha: float = ALPHA) -> Difference:
    """Return the mean of differences with an interval and a p-value that hold at every number of seeds.

    The interval of level 1 - alpha has the means that `e_value` rejected at no number of seeds so far, the intersection
    of the confidence sequence: it excludes 0 exactly where the p-value is below alpha, and need not be symmetric. An
    empty intersection, of which the probability is below alpha, is replaced by the interval of all seeds. See
    `paired.paired_t`.
    """
    values = np.asarray(differences, float)
    mean, spread = float(values.mean()), deviation(values, resolution)
    bounds = [_bounds(values[:count], resolution, alpha) for count in range(2, len(values) + 1)]
    low, high = max(low for low, _ in bounds), min(high for _, high in bounds)
    if low > high:
        low, high = bounds[-1]
    return Difference(len(values), mean, low, high, anytime_p(values, resolution), spread)


def _bounds(values: np.ndarray, resolution: float, alpha: float) -> tuple[float, float]:
    """Return the ends of the interval of one look."""
    half = half_width(deviation(values, resolution), len(values), alpha)
    return float(values.mean()) - half, float(values.mean()) + half

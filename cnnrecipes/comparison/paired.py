"""Statistics of paired differences: Student's t, Holm's correction, power, McNemar's test, Newcombe's interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from cnnrecipes.runs.intervals import wilson

ALPHA = 0.05
POWER = 0.8  # of the smallest difference that would be seen


@dataclass(frozen=True)
class Difference:
    """A mean difference with its interval, of level 95% if no other is asked for.

    Attributes:
        n: number of differences.
        mean, low, high: the mean and its interval, in the unit of the differences.
        p: of the null hypothesis that the mean is 0, two-sided, before any correction.
        deviation: standard deviation of a difference.
    """

    n: int
    mean: float
    low: float
    high: float
    p: float
    deviation: float


def deviation(differences: Sequence[float] | np.ndarray, resolution: float = 0.0) -> float:
    """Return the standard deviation of differences, at least that of their rounding.

    Accuracies on N images are multiples of 1/N. A few differences can then be equal by chance, which does not mean that
    they have no error: rounding to multiples of r alone has the variance r^2 / 12, and a difference has that of two
    rounded numbers, r^2 / 6.

    Args:
        differences: two or more.
        resolution: the accuracies are multiples of it.
    """
    return max(float(np.std(np.asarray(differences, float), ddof=1)), resolution / math.sqrt(6))


def paired_t(differences: Sequence[float] | np.ndarray, resolution: float = 0.0, alpha: float = ALPHA) -> Difference:
    """Return the mean of differences with its interval and p-value by the paired t test of Student (1908).

    Args:
        differences: (n,), one for each seed, n >= 2.
        resolution: the accuracies are multiples of it; see `deviation`.
        alpha: 1 - level of the interval.
    """
    values = np.asarray(differences, float)
    n, mean, spread = len(values), float(values.mean()), deviation(values, resolution)
    error = spread / math.sqrt(n)
    half = float(stats.t.ppf(1 - alpha / 2, n - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, n - 1)) if error else float(mean == 0)
    return Difference(n, mean, mean - half, mean + half, p, spread)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number by the step-down method of Holm (1979), in the given order."""
    order = np.argsort(p_values, kind="stable")
    corrected, highest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        highest = max(highest, min((len(p_values) - place) * float(p_values[index]), 1.0))
        corrected[index] = highest
    return corrected


def smallest_visible(spread: float, n: int, comparisons: int = 1) -> float:
    """Return the mean difference that a paired t test finds with a power of 80%, by the noncentral t distribution.

    Args:
        spread: standard deviation of a difference.
        n: number of differences, at least 2.
        comparisons: number of comparisons; the level is 5% divided by it, as in the first step of Holm's method.
    """
    if spread == 0:
        return 0.0
    critical = float(stats.t.ppf(1 - ALPHA / comparisons / 2, n - 1))

    def missing(effect: float) -> float:
        return float(stats.nct.sf(critical, n - 1, effect)) - POWER

    high = critical + 2.0
    while missing(high) < 0:
        high *= 1.5
    return float(optimize.brentq(missing, 0.0, high)) * spread / math.sqrt(n)


@dataclass(frozen=True)
class Discordance:
    """Numbers of images that both, one or neither of two classifiers answer correctly.

    Attributes:
        both, neither: number of images that both, or neither, answer correctly.
        only_first, only_second: number of images that only one of the two answers correctly.
    """

    both: int
    only_first: int
    only_second: int
    neither: int

    @classmethod
    def of(cls, first: np.ndarray, second: np.ndarray) -> Discordance:
        """Count the images; `first` and `second` are (N,) bool, True where the classifier is right."""
        counts = (first & second, first & ~second, ~first & second, ~first & ~second)
        return cls(*(int(one.sum()) for one in counts))

    @property
    def n(self) -> int:
        """Number of images."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def accuracies(self) -> tuple[float, float]:
        """Accuracies of the first and of the second classifier, 0..1."""
        return (self.both + self.only_first) / self.n, (self.both + self.only_second) / self.n

    @property
    def difference(self) -> float:
        """Accuracy of the second minus that of the first, -1..1."""
        return (self.only_second - self.only_first) / self.n

    @property
    def p(self) -> float:
        """Two-sided p-value of McNemar's test (1947), exact by the binomial distribution of the discordant images."""
        discordant = self.only_first + self.only_second
        return float(stats.binomtest(self.only_second, discordant, 0.5).pvalue) if discordant else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of `difference`; see `interval_at`."""
        return self.interval_at(ALPHA)

    def interval_at(self, alpha: float) -> tuple[float, float]:
        """Return the interval of `difference` by method 10 of Newcombe (1998), Statistics in Medicine 17, 2635-2650.

        It combines the Wilson intervals of both accuracies, with a correlation that is corrected for continuity.

        Args:
            alpha: 1 - level of the interval, for example 0.05 / 3 for one of three intervals that hold together.
        """
        one, two = self.both + self.only_first, self.both + self.only_second
        (p, q), n = self.accuracies, self.n
        (p_low, p_high), (q_low, q_high) = (wilson(count, n, 1 - alpha) for count in (one, two))
        margins = one * (n - one) * two * (n - two)
        cross = float(self.both * self.neither - self.only_first * self.only_second)
        if cross > 0:
            cross = max(cross - n / 2, 0.0)
        phi = cross / math.sqrt(margins) if margins else 0.0

        def distance(up: float, down: float) -> float:
            return math.sqrt(max(up**2 - 2 * phi * up * down + down**2, 0.0))

        low = self.difference - distance(q - q_low, p_high - p)
        high = self.difference + distance(q_high - q, p - p_low)
        return max(low, -1.0), min(high, 1.0)

    def smallest_visible(self, comparisons: int = 1) -> float:
        """Return the difference that this test finds with a power of 80%, for as many discordant images.

        By the normal approximation of Miettinen (1968): the standard error of the difference is sqrt(discordant) / n.
        """
        quantile = float(stats.norm.ppf(1 - ALPHA / comparisons / 2) + stats.norm.ppf(POWER))
        return quantile * math.sqrt(max(self.only_first + self.only_second, 1)) / self.n

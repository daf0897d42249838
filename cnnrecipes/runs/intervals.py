"""Confidence intervals of accuracies: Wilson, a mean of recalls (MOVER), and a cluster bootstrap over groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

_DRAWS = 2000  # of the bootstrap
_AT_ONCE = 100  # draws of the bootstrap, whose counts are in memory together


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval (low, high) of a proportion (Wilson 1927).

    Unlike the normal approximation it stays within 0..1.

    Args:
        successes: number of successes among `n`.
        n: number of trials.
        level: of the interval.
    """
    from scipy.stats import binomtest  # imported here: it takes half a second, and prediction does not need it

    return binomtest(successes, n).proportion_ci(confidence_level=level, method="wilson")


def wilson_intervals(successes: np.ndarray, n: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the Wilson score intervals of many proportions, low (k,) and high (k,); NaN where n = 0.

    As `wilson`, which takes 2 ms for each.

    Args:
        successes: (k,) numbers of successes.
        n: (k,) numbers of trials.
        level: of the intervals.
    """
    z = float(ndtri((1 + level) / 2))
    successes, trials = np.asarray(successes, float), np.where(np.asarray(n) > 0, n, np.nan)
    middle = (successes + z**2 / 2) / (trials + z**2)
    distance = z / (trials + z**2) * np.sqrt(successes * (trials - successes) / trials + z**2 / 4)
    return np.maximum(middle - distance, 0), np.minimum(middle + distance, 1)


def mean_of_proportions(proportions: Sequence[float], intervals: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the interval of the mean of independent proportions from the interval of each.

    The square-and-add method MOVER (Zou & Donner 2008, "Construction of confidence limits about effect measures", eq.
    6), of which Newcombe's interval of a difference is a case. Unlike a bootstrap it is not empty if all are 1.

    Args:
        proportions: (k,), 0..1.
        intervals: low and high of each, of the level of the result.
    """
    p, limits = np.asarray(proportions, float), np.asarray(intervals, float).reshape(-1, 2)
    below, above = (np.sqrt(np.sum((limits[:, side] - p) ** 2)) / len(p) for side in (0, 1))
    return max(float(p.mean() - below), 0.0), min(float(p.mean() + above), 1.0)


def cluster_bootstrap(right: np.ndarray, groups: Sequence[str], level: float = 0.95) -> tuple[float, float] | None:
    """Return the interval of an accuracy whose images come in groups, by a bootstrap over whole groups.

    Images of a group (a patient, a video) are alike, so that an interval that takes them as independent is too
    narrow. The percentile bootstrap of Field & Welsh 2007 ("Bootstrapping clustered data", the randomized cluster
    bootstrap), with 2,000 draws and a fixed seed. It is too narrow itself for fewer than about 20 groups.

    Args:
        right: (N,) bool, True for a correct prediction.
        groups: the group of each image, (N,).
        level: of the interval.

    Returns:
        (low, high); Wilson's interval for as many images as groups if all are right or all are wrong, since then each
        draw is the same; None for fewer than two groups.
    """
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    count = len(names)
    if count < 2:
        return None
    if right.all() or not right.any():
        return wilson(count if right.all() else 0, count, level)
    totals = np.stack([np.bincount(member, right, count), np.bincount(member, minlength=count)], axis=1)
    random = np.random.default_rng(0)
    drawn = np.concatenate(
        [
            random.multinomial(count, np.full(count, 1 / count), size=_AT_ONCE) @ totals
            for _ in range(_DRAWS // _AT_ONCE)
        ]
    )
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

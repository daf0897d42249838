"""The anytime-valid t test: its closed form, its error rate over all looks, and its intervals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from cnnrecipes.comparison.sequential import EFFECT_VARIANCE, anytime_p, anytime_t, e_value

LOOKS, TRIALS = 25, 600


def test_e_value_is_the_ratio_of_the_likelihoods_of_t():
    values = np.array([0.4, 1.1, -0.2, 0.9])
    n, t = len(values), stats.ttest_1samp(values, 0).statistic

    def weighted(effect: float) -> float:
        prior = stats.norm.pdf(effect, scale=math.sqrt(EFFECT_VARIANCE))
        return float(stats.nct.pdf(t, n - 1, math.sqrt(n) * effect) * prior)

    mixture, _ = integrate.quad(weighted, -12, 12, limit=200)
    assert e_value(values) == pytest.approx(mixture / stats.t.pdf(t, n - 1), rel=1e-5)


def rejections(drawn: np.ndarray, resolution: float = 0.0) -> float:
    """Share of the trials that are rejected at any look, from the second difference on."""
    return float(np.mean([anytime_p(row, resolution) < 0.05 for row in drawn]))


def test_false_positives_over_all_looks_stay_below_5_percent():
    drawn = np.random.default_rng(0).normal(size=(TRIALS, LOOKS))
    naive = [any(stats.ttest_1samp(row[:n], 0).pvalue < 0.05 for n in range(2, LOOKS + 1)) for row in drawn[:100]]
    assert rejections(drawn) <= 0.05
    assert np.mean(naive) > 0.15  # repeated t tests, for comparison


def test_false_positives_stay_below_5_percent_for_accuracies_on_few_images():
    rng = np.random.default_rng(1)
    accuracies = rng.binomial(180, 0.97, (2, TRIALS, LOOKS)) / 180
    assert rejections(accuracies[0] - accuracies[1], 1 / 180) <= 0.05


def test_confidence_sequence_covers_the_mean_at_all_looks_together():
    drawn = np.random.default_rng(2).normal(0.7, 1, (150, LOOKS))
    covered = [all(found.low <= 0.7 <= found.high for found in looks(row)) for row in drawn]
    assert np.mean(covered) >= 0.95


def looks(row: np.ndarray):
    return [anytime_t(row[:n]) for n in range(2, LOOKS + 1)]


def test_interval_excludes_zero_exactly_where_the_p_value_is_below_5_percent():
    """Also where the evidence of an earlier look has faded since."""
    faded = np.array([0.9, 1.1, 1.0, 0.95, 1.05, -0.6, -0.4])
    assert e_value(faded[:5]) > 20 > e_value(faded)
    for row in [faded, *np.random.default_rng(3).normal(0.8, 1, (30, 12))]:
        found = anytime_t(row)
        assert (found.low > 0 or found.high < 0) == (found.p < 0.05)


def test_interval_never_widens():
    for row in np.random.default_rng(5).normal(0.5, 1, (20, 12)):
        found = looks(row)
        assert all(one.low <= two.low and two.high <= one.high for one, two in itertools.pairwise(found[:11]))


def test_large_differences_are_clear_after_few_seeds():
    drawn = np.random.default_rng(4).normal(4, 1, (200, 6))
    assert rejections(drawn) > 0.95
    assert anytime_t([0.5, 0.6]).high == math.inf

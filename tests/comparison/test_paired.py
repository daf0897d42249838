"""Paired statistics against scipy and published values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cnnrecipes.comparison.paired import Discordance, holm, paired_t, smallest_visible


def test_paired_t_equals_scipy():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.9, 0.01, 5), rng.normal(0.91, 0.01, 5)
    found, reference = paired_t(second - first), stats.ttest_rel(second, first)
    interval = reference.confidence_interval(0.95)
    assert found.p == pytest.approx(reference.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_paired_t_of_sleep_data_of_student():
    """Student (1908), hours of sleep gained by two drugs: t = 4.0621, p = 0.002833, interval 0.7001 to 2.4599."""
    found = paired_t([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert found.p == pytest.approx(0.002833, abs=5e-7)
    assert (found.low, found.high) == pytest.approx((0.7001, 2.4599), abs=5e-5)


def test_equal_differences_of_rounded_accuracies_are_not_certain():
    found = paired_t([1 / 180, 1 / 180], resolution=1 / 180)
    assert found.low < 0 < found.mean < found.high
    assert found.p > 0.05
    assert paired_t([0.0, 0.0]).p == 1


def test_differences_of_few_images_are_rarely_significant_at_three_seeds():
    """Accuracies on 180 images that differ by -1, 0 or 1 image by chance alone."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(-1, 2, (2000, 3)) / 180
    assert np.mean([paired_t(row, 1 / 180).p < 0.05 for row in drawn]) <= 0.05
    assert paired_t([1 / 180] * 3, 1 / 180).p > 0.05


def test_holm_equals_published_adjustment():
    """R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") is 0.03 0.06 0.06 0.02."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([]) == []


def test_smallest_visible_difference_is_found_with_80_percent_power():
    """R: power.t.test(n = 5, sd = 1, power = 0.8, type = "paired") has delta = 1.682."""
    assert smallest_visible(1.0, 5) == pytest.approx(1.682, abs=0.002)
    rng = np.random.default_rng(1)
    drawn = rng.normal(smallest_visible(1.0, 5), 1, (20_000, 5))
    assert np.mean(stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.01)
    assert smallest_visible(1.0, 5, comparisons=3) > smallest_visible(1.0, 5)


@pytest.mark.parametrize(
    ("counts", "difference", "interval"),
    [
        (
            (1, 1, 7, 12),
            6 / 21,
            (0.026, 0.507),
        ),  # Bentur et al. 2009, in Fagerland et al. 2014, Statistics in Medicine 33
        ((59, 6, 16, 80), 10 / 161, (0.005, 0.119)),  # Cavo et al. 2012, there too
        ((14, 5, 0, 22), -5 / 41, (-0.226, -0.011)),  # Altman et al. 2000, table 6.2
    ],
)
def test_newcombe_interval_has_published_values(counts, difference, interval):
    found = Discordance(*counts)
    assert found.difference == pytest.approx(difference)
    assert found.interval == pytest.approx(interval, abs=6e-4)


def test_mcnemar_is_the_exact_binomial_test():
    first = np.array([True] * 100 + [False] * 20)
    second = np.array([True] * 88 + [False] * 12 + [True] * 2 + [False] * 18)
    found = Discordance.of(first, second)
    assert (found.both, found.only_first, found.only_second, found.neither) == (88, 12, 2, 18)
    assert found.p == pytest.approx(2 * stats.binom.cdf(2, 14, 0.5))
    assert Discordance.of(first, first).p == 1


def test_newcombe_interval_covers_the_difference():
    rng = np.random.default_rng(2)
    shares = np.array([0.85, 0.03, 0.06, 0.06])
    covered = 0
    for counts in rng.multinomial(150, shares, 600):
        low, high = Discordance(*map(int, counts)).interval
        covered += low <= 0.03 <= high
    assert covered / 600 > 0.93

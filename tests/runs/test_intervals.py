"""Intervals of accuracies: MOVER by hand and by simulation, the cluster bootstrap against independent images."""

from __future__ import annotations

import numpy as np
import pytest

from cnnrecipes.runs.intervals import cluster_bootstrap, mean_of_proportions, wilson, wilson_intervals


def test_many_intervals_are_those_of_wilson():
    pairs = [(0, 1), (1, 1), (8, 10), (0, 20), (499, 500), (70, 100)]
    low, high = wilson_intervals(*map(np.array, zip(*pairs, strict=True)))
    np.testing.assert_allclose(np.stack([low, high], 1), [wilson(*pair) for pair in pairs], atol=1e-12)
    assert np.isnan(wilson_intervals(np.array([0]), np.array([0]))).all()


def test_mean_of_one_proportion_has_its_interval():
    assert mean_of_proportions([0.8], [wilson(8, 10)]) == pytest.approx(wilson(8, 10))


def test_mean_of_two_proportions_adds_the_squares_of_the_distances():
    low, high = mean_of_proportions([0.5, 0.9], [(0.3, 0.7), (0.6, 0.95)])
    assert low == pytest.approx(0.7 - np.hypot(0.2, 0.3) / 2)
    assert high == pytest.approx(0.7 + np.hypot(0.2, 0.05) / 2)


def test_mean_of_perfect_recalls_has_an_interval():
    low, high = mean_of_proportions([1.0, 1.0], [wilson(1, 1), wilson(1, 1)])
    assert high == 1
    assert low < 0.5


def test_interval_of_a_mean_covers_the_truth():
    random, n, p = np.random.default_rng(0), (10, 20, 50), (0.9, 0.7, 0.5)
    known = {(k, m): wilson(k, m) for m in n for k in range(m + 1)}
    draws = random.binomial(n, p, size=(3000, 3))
    found = [
        mean_of_proportions(row / np.array(n), [known[k, m] for k, m in zip(row, n, strict=True)]) for row in draws
    ]
    assert np.mean([low <= np.mean(p) <= high for low, high in found]) == pytest.approx(0.95, abs=0.015)


def test_cluster_bootstrap_of_equal_images_is_that_of_the_groups():
    """100 groups of 20 images that are all right or all wrong are worth 100 images."""
    right = np.repeat(np.arange(100) < 80, 20)
    groups = np.repeat([f"patient {i}" for i in range(100)], 20)
    low, high = cluster_bootstrap(right, groups)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 100), rel=0.1)
    independent = wilson(int(right.sum()), len(right))
    assert high - low > 4 * (independent[1] - independent[0])
    assert cluster_bootstrap(right, groups) == (low, high)


def test_cluster_bootstrap_of_single_images_agrees_with_wilson():
    right = np.arange(500) < 400
    assert cluster_bootstrap(right, np.arange(500).astype(str)) == pytest.approx(wilson(400, 500), abs=0.01)


def test_cluster_bootstrap_without_mistakes_and_with_one_group():
    assert cluster_bootstrap(np.ones(50, bool), ["a"] * 25 + ["b"] * 25) == pytest.approx(wilson(2, 2))
    assert cluster_bootstrap(np.zeros(50, bool), ["a"] * 25 + ["b"] * 25) == pytest.approx(wilson(0, 2))
    assert cluster_bootstrap(np.ones(50, bool), ["a"] * 50) is None

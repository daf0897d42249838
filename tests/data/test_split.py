"""The stratified split, for any labels and shares."""

from __future__ import annotations

import numpy as np
import pytest

from cnnrecipes.data.split import stratified


@pytest.mark.parametrize("seed", range(10))
def test_parts_are_disjoint_complete_and_hold_their_shares(seed):
    random = np.random.default_rng(seed)
    labels = random.choice([0, 3, 4, 9], 200, p=[0.6, 0.3, 0.09, 0.01])
    shares = dict(zip(("test", "validation"), random.uniform(0, 0.45, 2), strict=True))
    parts = stratified(labels, shares, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(200))
    assert set(labels[parts["train"]]) == set(labels)
    for name, share in shares.items():
        np.testing.assert_array_equal(parts[name], np.sort(parts[name]))
        for label in np.unique(labels):
            n, got = (int(np.sum(part == label)) for part in (labels, labels[parts[name]]))
            assert got == pytest.approx(share * n, abs=1 if n > 3 else n)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_rare_class_always_trains(n, share):
    parts = stratified(np.array([0] * 50 + [1] * n), {"validation": share}, 0)
    assert 1 <= np.sum(parts["train"] >= 50) <= n
    assert np.sum(parts["validation"] >= 50) == (0 if share == 0 else min(max(round(share * n), 1), n - 1))


def test_the_seed_alone_decides_and_chance_is_fair():
    labels = np.repeat([0, 1], 50)
    times = np.zeros(100)
    for seed in range(300):
        part = stratified(labels, {"validation": 0.2}, seed)["validation"]
        np.testing.assert_array_equal(part, stratified(labels, {"validation": 0.2}, seed)["validation"])
        times[part] += 1
    # 60 expected; five standard deviations of a binomial
    assert np.abs(times - 60).max() < 5 * np.sqrt(300 * 0.2 * 0.8)

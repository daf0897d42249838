"""Contrasts and their sentences, from given scores."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from cnnrecipes.comparison.accuracy_speed_memory import Score
from cnnrecipes.comparison.contrasts import contrast_all, contrast_answers, p_text, points


def scores(accuracies, seconds=None, machine="here") -> dict[int, Score]:
    seconds = [1.0] * len(accuracies) if seconds is None else seconds
    return {
        seed: Score(seed, Path(f"seed_{seed}"), accuracy, 1000, time, 100.0, None, machine, failed=math.isnan(accuracy))
        for seed, (accuracy, time) in enumerate(zip(accuracies, seconds, strict=True))
    }


BASE = [0.950, 0.953, 0.949, 0.951, 0.952]


def test_clear_difference_is_a_sentence_with_interval_p_and_speed():
    worse = [0.939, 0.941, 0.936, 0.940, 0.939]
    found = contrast_all(
        {"norm=batch": scores(BASE), "norm=group": scores(worse, [1.06, 1.05, 1.07, 1.06, 1.06])}, "norm=batch"
    )["norm=group"]
    assert found.p_holm == pytest.approx(stats.ttest_rel(worse, BASE).pvalue)
    assert found.verdict == "worse"
    assert found.sentence == (
        "norm=group is worse than norm=batch by 1.2 ± 0.1 points (n = 5 seeds, p < 0.001 after Holm's correction); "
        "it is 6% slower (time per epoch: 95% interval +5% to +7%)."
    )


def test_unclear_difference_names_the_smallest_visible_one():
    other = [0.951, 0.948, 0.955, 0.950, 0.953]
    found = contrast_all({"a": scores(BASE), "b": scores(other)}, "a")["b"]
    assert found.verdict == "unclear"
    assert found.sentence.startswith("b and a cannot be told apart: +0.0 ± ")
    assert f"a difference of less than {points(found.visible)} points would not be seen" in found.sentence


def test_p_values_are_corrected_for_all_variants():
    rng = np.random.default_rng(0)
    rows = {name: scores(np.array(BASE) + rng.normal(0.002, 0.002, 5)) for name in "bcd"}
    found = contrast_all({"a": scores(BASE), **rows}, "a")
    assert all(one.p_holm >= one.p for one in found.values())
    smallest = min(found.values(), key=lambda one: one.p)
    assert smallest.p_holm == pytest.approx(min(3 * smallest.p, 1))


def test_margin_makes_variants_alike():
    other = [one + 0.0005 * (-1) ** place for place, one in enumerate(BASE)]
    found = contrast_all({"a": scores(BASE), "b": scores(other)}, "a", margin=0.005)["b"]
    assert found.verdict == "alike"
    assert "differ by less than 0.5 points" in found.sentence


def test_alike_needs_the_interval_that_is_corrected_for_the_variants():
    other = [one + 0.0015 * (-1) ** place for place, one in enumerate(BASE)]
    wide = contrast_all({"a": scores(BASE), "b": scores(other)}, "a")["b"]
    margin = 1.01 * max(-wide.low, wide.high)
    pair = contrast_all({"a": scores(BASE), "b": scores(other)}, "a", margin=margin)
    several = contrast_all({"a": scores(BASE), **{name: scores(other) for name in "bcd"}}, "a", margin=margin)
    assert pair["b"].verdict == "alike"
    assert [one.verdict for one in several.values()] == ["unclear"] * 3


def test_alike_by_mcnemar_needs_the_interval_that_is_corrected_for_the_variants():
    right = {"a": np.arange(1000) < 950, "b": (np.arange(1000) >= 4) & (np.arange(1000) < 953)}
    single = {label: scores([row.mean()]) for label, row in right.items()}
    wide = contrast_answers(right, single, "a")["b"]
    margin = 1.01 * max(-wide.low, wide.high)
    assert contrast_answers(right, single, "a", margin=margin)["b"].verdict == "alike"
    for name in "cd":
        right[name], single[name] = right["b"], single["b"]
    several = contrast_answers(right, single, "a", margin=margin)
    assert [one.verdict for one in several.values()] == ["unclear"] * 3


def test_sequential_contrast_whose_evidence_has_faded_keeps_its_interval():
    """It was worse at the first looks; two seeds later the interval of these alone contains 0."""
    other = [0.9401, 0.9431, 0.9389, 0.9412, 0.9423, 0.96, 0.962]
    base = [*BASE, 0.95, 0.951]
    found = contrast_all({"a": scores(base), "b": scores(other)}, "a", sequential=True)["b"]
    assert found.verdict == "worse"
    assert found.high < 0
    assert f"95% interval {points(found.low, sign=True)} to {points(found.high, sign=True)}" in found.sentence


def test_sequential_contrast_has_wider_intervals():
    other = [0.938, 0.944, 0.939, 0.94, 0.943]
    given = {"a": scores(BASE), "b": scores(other)}
    fixed, anytime = (contrast_all(given, "a", sequential=kind)["b"] for kind in (False, True))
    assert anytime.low < fixed.low < fixed.high < anytime.high
    assert anytime.p >= fixed.p
    assert anytime.verdict == "worse"


def test_diverged_trainings_are_not_compared():
    given = {"a": scores(BASE), "b": scores([0.9, math.nan])}
    found = contrast_all(given, "a")["b"]
    assert found.verdict == "diverged"
    assert found.sentence == "b is not compared: the loss became NaN or infinite at seed 1."


def test_times_of_different_machines_are_not_compared():
    given = {"a": scores(BASE), "b": scores(BASE, [2.0] * 5, machine="there")}
    assert "slow" not in contrast_all(given, "a")["b"].sentence


def test_one_seed_is_compared_by_mcnemar():
    first = np.arange(1000) < 950
    second = np.arange(1000) < 920
    found = contrast_answers({"a": first, "b": second}, {"a": scores([0.95]), "b": scores([0.92], [2.5])}, "a")["b"]
    assert found.p == pytest.approx(2 * 0.5**30)
    assert found.sentence.startswith(
        "b is worse than a by 3.0 points, 95% interval -4.2 to -2.0 (n = 1,000 images, p < 0.001"
    )
    assert found.sentence.endswith("its one training was 2.5 times as slow.")


def test_numbers_as_text():
    assert points(0.0123) == "1.2"
    assert points(0.0004) == "0.04"
    assert points(0.0004, 0.01, sign=True) == "+0.0"
    assert p_text(0.0004) == "p < 0.001"
    assert p_text(0.0132) == "p = 0.013"

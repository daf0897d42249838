"""Calibration against values by hand, against models whose calibration is known, and abstention."""

from __future__ import annotations

import numpy as np
import pytest
from made_predictions import drawn, predictions_of
from sklearn.metrics import log_loss

from cnnrecipes.runs.calibration import (
    answered,
    calibration,
    coverage,
    fit_temperature,
    scaled_confidence,
    scaled_cross_entropy,
    threshold_for,
)

# Confidences 0.95, 0.95, 0.75, 0.55; the second and the last are wrong.
FOUR = predictions_of([[0.95, 0.05], [0.95, 0.05], [0.25, 0.75], [0.55, 0.45]], [0, 1, 1, 1])


def test_error_and_table_by_hand():
    found = calibration(FOUR, bins=10)
    assert found.ece == pytest.approx((2 * abs(0.5 - 0.95) + abs(1 - 0.75) + abs(0 - 0.55)) / 4)
    rows = found.table[found.table["n"] > 0]
    assert rows["n"].tolist() == [1, 1, 2]
    assert rows["high"].tolist() == pytest.approx([0.6, 0.8, 1])
    assert rows["accuracy"].tolist() == [0, 1, 0.5]
    assert rows["confidence"].tolist() == pytest.approx([0.55, 0.75, 0.95])
    assert (rows["accuracy_low"] < rows["accuracy_high"]).all()
    assert len(found.table) == 10
    assert found.table.loc[found.table["n"] == 0, ["confidence", "accuracy", "accuracy_low"]].isna().all(axis=None)


def test_all_confidences_are_in_a_bin():
    sure = predictions_of([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], [0, 0, 0])
    assert calibration(sure).table["n"].sum() == 3
    assert calibration(sure).table["n"].iloc[-1] == 2


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_temperature_of_a_model_of_known_calibration_is_recovered(sharpness):
    found = drawn(20_000, 10, sharpness=sharpness)
    assert fit_temperature(found) == pytest.approx(sharpness, rel=0.03)


def test_temperature_calibrates_an_overconfident_model():
    """Fitted on one sample, it calibrates another one (Guo et al. 2017, table 1)."""
    validation, test = (drawn(5000, 10, sharpness=3, seed=seed) for seed in (1, 2))
    temperature = fit_temperature(validation)
    assert calibration(test).ece > 0.15
    assert calibration(test, temperature).ece < 0.03
    assert scaled_cross_entropy(test, temperature) < scaled_cross_entropy(test, 1) - 0.2
    least = scaled_cross_entropy(validation, temperature)
    assert all(scaled_cross_entropy(validation, temperature * factor) > least for factor in (0.95, 1.05))


def test_scaled_probabilities_are_those_of_the_divided_logits():
    found = drawn(50, 4)
    powers = found.probabilities.astype(float) ** (1 / 2.5)
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scaled_confidence(found, 2.5), expected.max(axis=1), rtol=1e-5)
    assert scaled_cross_entropy(found, 2.5) == pytest.approx(log_loss(found.truth, expected, labels=range(4)), rel=1e-5)


@pytest.mark.parametrize("n", [1, 2, 50])
def test_temperature_without_mistakes_is_one(n):
    """Every lower temperature would be better: there is nothing to fit."""
    assert fit_temperature(predictions_of([[0.9, 0.1]] * n, [0] * n)) == 1


def test_temperature_is_finite_if_all_are_wrong_or_a_probability_is_zero():
    wrong = predictions_of([[1.0, 0.0], [0.0, 1.0]], [1, 0])
    assert 1 < fit_temperature(wrong) <= 20
    assert np.isfinite(scaled_cross_entropy(wrong, 2))


def test_coverage_by_hand():
    found = coverage(FOUR)
    assert list(found) == ["coverage", "threshold", "accuracy", "accuracy_low", "accuracy_high", "n"]
    assert found["n"].tolist() == [2, 3, 4]  # equal confidences are answered together
    assert found["coverage"].tolist() == [0.5, 0.75, 1]
    assert found["threshold"].tolist() == pytest.approx([0.95, 0.75, 0.55])
    assert found["accuracy"].tolist() == pytest.approx([0.5, 2 / 3, 0.5])


def test_accuracy_at_a_threshold_is_that_of_the_images_above_it():
    found = drawn(1000, 5)
    for row in answered(found, [0.1, 0.5, 0.9]).to_dict("records"):
        above = found.confidence >= np.float32(row["threshold"])
        assert above.sum() == row["n"]
        assert found.right[above].mean() == pytest.approx(row["accuracy"])


def test_threshold_answers_as_many_images_as_the_accuracy_allows():
    found = drawn(2000, 5)
    threshold = threshold_for(found, 0.9)
    above = found.confidence >= np.float32(threshold)
    assert found.right[above].mean() >= 0.9
    lower = np.sort(found.confidence[~above])[::-1]
    for more in lower[[0, 10, 100]]:
        assert found.right[found.confidence >= more].mean() < 0.9
    assert threshold_for(found, 0) == pytest.approx(found.confidence.min())
    assert threshold_for(predictions_of([[0.9, 0.1]], [1]), 0.5) is None

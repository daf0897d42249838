"""Metrics against scikit-learn and by hand, and predictions of few images, many classes and absent classes."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from made_predictions import drawn, predictions_of
from sklearn import metrics as sklearn_metrics

from cnnrecipes.runs.classification_metrics import classification_metrics, per_class, worst_first
from cnnrecipes.runs.intervals import wilson

TEN = drawn(700, 10)


def test_metrics_are_those_of_sklearn():
    found, (truth, predicted) = classification_metrics(TEN), (TEN.truth, TEN.predicted)
    assert found["n"] == 700
    assert found["accuracy"] == sklearn_metrics.accuracy_score(truth, predicted)
    assert found["accuracy_95"] == pytest.approx(wilson(int(TEN.right.sum()), 700))
    assert found["cross_entropy"] == pytest.approx(sklearn_metrics.log_loss(truth, TEN.probabilities), rel=1e-5)
    top = sklearn_metrics.top_k_accuracy_score(truth, TEN.probabilities, k=5, labels=range(10))
    assert found["top5_accuracy"] == pytest.approx(top)
    assert found["balanced_accuracy"] == pytest.approx(sklearn_metrics.balanced_accuracy_score(truth, predicted))
    assert found["macro_f1"] == pytest.approx(sklearn_metrics.f1_score(truth, predicted, average="macro"))
    worst = np.argmin(sklearn_metrics.recall_score(truth, predicted, average=None))
    assert found["worst_class"]["class"] == f"c{worst}"
    low, high = found["balanced_accuracy_95"]
    assert low < found["balanced_accuracy"] < high


def test_brier_score_of_two_classes_is_twice_that_of_sklearn():
    two = drawn(300, 2)
    expected = 2 * sklearn_metrics.brier_score_loss(two.truth, two.probabilities[:, 1])
    assert classification_metrics(two)["brier"] == pytest.approx(expected, rel=1e-5)


def test_brier_score_by_hand():
    found = classification_metrics(predictions_of([[0.7, 0.2, 0.1], [0, 0, 1]], [0, 0]))
    assert found["brier"] == pytest.approx((0.09 + 0.04 + 0.01 + 2) / 2)


def test_table_by_class_is_that_of_sklearn():
    table = per_class(TEN)
    expected = sklearn_metrics.precision_recall_fscore_support(TEN.truth, TEN.predicted)
    for name, values in zip(("precision", "recall", "f1", "n"), expected, strict=True):
        np.testing.assert_allclose(table[name], values)
    of_three = TEN.part(TEN.truth == 3)
    assert table.loc[3, "mean_confidence"] == pytest.approx(of_three.confidence.mean())
    assert (table.loc[3, "recall_low"], table.loc[3, "recall_high"]) == pytest.approx(
        wilson(int(of_three.right.sum()), len(of_three))
    )
    assert worst_first(table)["recall"].is_monotonic_increasing


def test_ties_are_counted_as_the_prediction_counts_them():
    """The first of equal classes is the prediction, so with equal probabilities 5 classes of 10 are in the top 5."""
    equal = predictions_of(np.full((10, 10), 0.1), range(10))
    assert classification_metrics(equal)["top5_accuracy"] == 0.5
    assert classification_metrics(equal)["accuracy"] == 0.1


def test_top_5_of_few_classes_is_left_out():
    assert "top5_accuracy" not in classification_metrics(drawn(50, 5))
    assert "top5_accuracy" in classification_metrics(drawn(50, 6))


def test_class_without_images_is_left_out_of_the_means():
    """Three classes, of which the last has no image, but is predicted once."""
    found = predictions_of([[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7], [0.6, 0.4, 0]], [0, 1, 1, 0])
    table, metrics = per_class(found), classification_metrics(found)
    assert table["n"].tolist() == [2, 2, 0]
    assert table["recall"].tolist()[:2] == [1, 0.5]
    assert table.loc[2, ["recall", "f1", "recall_low", "mean_confidence"]].isna().all()
    assert metrics["balanced_accuracy"] == 0.75
    assert metrics["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)
    assert metrics["worst_class"]["class"] == "c1"
    json.dumps(metrics, allow_nan=False)


def test_class_that_is_never_predicted_has_no_precision():
    table = per_class(predictions_of([[0.9, 0.1], [0.8, 0.2]], [0, 1]))
    assert math.isnan(table.loc[1, "precision"])
    assert table.loc[1, "f1"] == 0


def test_intervals_of_two_images_are_wide():
    found = classification_metrics(predictions_of([[0.9, 0.1], [0.1, 0.9]], [0, 1]), temperature=1.0)
    assert found["accuracy"] == found["balanced_accuracy"] == 1
    assert found["accuracy_95"][0] < 0.5
    assert found["balanced_accuracy_95"][0] < 0.5
    assert found["worst_class"]["recall_95"][0] < 0.3
    json.dumps(found, allow_nan=False)


def test_thousand_classes_take_less_than_seconds():
    found = drawn(10_000, 1000)
    started = time.process_time()
    metrics = classification_metrics(found, temperature=1.3)
    assert time.process_time() - started < 5
    assert metrics["top5_accuracy"] > metrics["accuracy"]
    json.dumps(metrics, allow_nan=False)


def test_groups_have_an_interval_of_their_own():
    found = drawn(600, 3, groups=[f"g{i // 20}" for i in range(600)])
    metrics = classification_metrics(found)
    assert metrics["groups"] == 30
    low, high = metrics["accuracy_95_groups"]
    assert low < metrics["accuracy"] < high
    assert "groups" not in classification_metrics(TEN)
    assert "accuracy_95_groups" not in classification_metrics(drawn(9, 3, groups=["one"] * 9))


def test_temperature_adds_scaled_metrics():
    plain, scaled = classification_metrics(TEN), classification_metrics(TEN, 1.0)
    assert scaled["calibration_error_scaled"] == pytest.approx(plain["calibration_error"])
    assert scaled["cross_entropy_scaled"] == pytest.approx(plain["cross_entropy"], rel=1e-6)
    assert "temperature" not in plain


def test_coverage_of_the_surest_images_is_more_accurate():
    rows = classification_metrics(TEN)["coverage"]
    assert [row["coverage"] for row in rows] == pytest.approx([0.5, 0.8, 0.9], abs=0.01)
    assert rows[0]["accuracy"] > rows[2]["accuracy"] > classification_metrics(TEN)["accuracy"]
    assert all(row["accuracy_95"][0] < row["accuracy"] < row["accuracy_95"][1] for row in rows)

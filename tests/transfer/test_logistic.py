"""Logistic regression on features: scikit-learn's solution, the chosen strength, and odd class counts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cnnrecipes.errors import TrainingError
from cnnrecipes.transfer.automatic_method import choose
from cnnrecipes.transfer.head_fit import HeadFit
from cnnrecipes.transfer.logistic import STRENGTHS, Examples, fit_logistic


def drawn(images: int, dimensions: int, classes: int, seed: int = 0) -> Examples:
    """Nonnegative features of classes that overlap."""
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(1).normal(0, 0.4, (classes, dimensions))
    labels = np.arange(images) % classes
    features = np.maximum(random.normal(0, 1, (images, dimensions)) + centers[labels], 0)
    return Examples(features.astype(np.float32), labels)


@pytest.mark.parametrize("weights", [None, (0.5, 3.0, 1.0)])
@pytest.mark.parametrize(("images", "dimensions"), [(60, 200), (200, 30)])
@pytest.mark.parametrize("classes", [2, 3])
def test_solution_is_that_of_scikit_learn_without_rotation(images, dimensions, classes, weights):
    train, strength = drawn(images, dimensions, classes), 0.5
    weights = weights and weights[:classes]
    found = fit_logistic(train, train, classes=classes, class_weights=weights, strengths=[strength])
    plain = LogisticRegression(C=1 / (2 * strength), max_iter=5000, tol=1e-9)
    plain.fit(
        train.features.astype(np.float64), train.labels, None if weights is None else np.take(weights, train.labels)
    )
    other = drawn(50, dimensions, classes, seed=2).features
    logits = found.logits(other)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, plain.predict_proba(other.astype(np.float64)), atol=1e-4)


def test_strength_of_the_best_accuracy_is_chosen_and_of_several_that_of_the_lowest_loss():
    train, held_out = drawn(90, 120, 3), drawn(60, 120, 3, seed=2)
    found = fit_logistic(train, held_out, classes=3)
    scores = {}
    for strength in STRENGTHS:
        one = fit_logistic(train, held_out, classes=3, strengths=[strength])
        logits = one.logits(held_out.features)
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(60), held_out.labels]
        scores[strength] = (round(one.accuracy(held_out.features, held_out.labels), 6), -losses.mean())
    best = max(scores.values())
    assert scores[found.strength][0] == best[0] == round(found.held_out_accuracy, 6)
    assert scores[found.strength][1] == pytest.approx(best[1], abs=1e-3)
    assert 1e-6 < found.strength < 1e5


@pytest.mark.parametrize("held_out", [None, drawn(40, 50, 3, seed=2)])
def test_fit_is_deterministic_and_independent_of_weaker_strengths(held_out):
    train = drawn(60, 50, 3)
    one, same = (fit_logistic(train, held_out, classes=3) for _ in range(2))
    assert one.kernel.tobytes() == same.kernel.tobytes()
    assert one.bias.tobytes() == same.bias.tobytes()
    fewer = fit_logistic(train, held_out, classes=3, strengths=[each for each in STRENGTHS if each >= one.strength])
    assert one.kernel.tobytes() == fewer.kernel.tobytes()


def test_class_without_training_examples_is_never_predicted():
    all_classes = drawn(90, 20, 3)
    train = all_classes.take(all_classes.labels != 1)
    found = fit_logistic(train, all_classes, classes=3)
    assert set(found.logits(all_classes.features).argmax(axis=1)) == {0, 2}
    assert np.isfinite(found.logits(all_classes.features)).all()
    only = fit_logistic(all_classes.take(all_classes.labels == 1), None, classes=3)
    assert set(only.logits(all_classes.features).argmax(axis=1)) == {1}


def test_one_example_a_class_takes_the_middle_strength_and_says_so():
    train = drawn(3, 20, 3)
    found = fit_logistic(train, None, classes=3)
    assert found.strength == STRENGTHS[len(STRENGTHS) // 2]
    assert found.accuracy(train.features, train.labels) == 1
    assert np.isnan(found.held_out_accuracy)
    assert str(HeadFit(found, 3, "cross-validation")).endswith(
        "a class has one image alone, and there is no validation split"
    )
    choice = choose(train.labels, 3, found.held_out_accuracy, "cross-validation")
    assert choice.how == "features"
    assert "nan" not in choice.reason


def test_two_examples_a_class_are_cross_validated():
    found = fit_logistic(drawn(4, 10, 2), None, classes=2)
    assert 0 <= found.held_out_accuracy <= 1


def test_class_weights_raise_the_recall_of_their_class():
    train = drawn(100, 5, 2)
    even, weighted = (
        fit_logistic(train, train, classes=2, class_weights=weights, strengths=[1.0]) for weights in (None, (1.0, 9.0))
    )
    share = [np.mean(one.logits(train.features).argmax(axis=1) == 1) for one in (even, weighted)]
    assert share[1] > share[0]


def test_constant_and_half_precision_features_are_accepted():
    train = drawn(40, 8, 2)
    train.features[:, 3] = 7
    found = fit_logistic(Examples(train.features.astype(np.float16), train.labels), None, classes=2)
    assert np.isfinite(found.kernel).all()


def test_features_that_are_not_finite_are_an_error_with_a_remedy():
    train = drawn(40, 8, 2)
    train.features[3, 4] = np.nan
    with pytest.raises(TrainingError, match="NaN or infinite; check the weights of the backbone"):
        fit_logistic(train, None, classes=2)

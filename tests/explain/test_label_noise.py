"""Confident learning on digits with flipped labels, and equality with cleanlab where that is installed."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from cnnrecipes.errors import DataError
from cnnrecipes.explain import confident_joint, find_label_issues


def flipped(labels: np.ndarray, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels of which a share is another class, and the indices of these."""
    random = np.random.default_rng(seed)
    chosen = random.choice(len(labels), round(share * len(labels)), replace=False)
    noisy = labels.copy()
    noisy[chosen] = (labels[chosen] + random.integers(1, labels.max() + 1, len(chosen))) % (labels.max() + 1)
    return noisy, chosen


@pytest.fixture(scope="module")
def noisy_digits():
    images, labels = load_digits(return_X_y=True)
    noisy, chosen = flipped(labels, 0.05)
    probabilities = cross_val_predict(KNeighborsClassifier(10), images, noisy, cv=4, method="predict_proba")
    return noisy, probabilities, chosen, labels


def test_flipped_labels_of_digits_are_found(noisy_digits):
    noisy, probabilities, chosen, labels = noisy_digits
    found = find_label_issues(noisy, probabilities)
    hits = np.isin(found["index"], chosen)
    assert hits.mean() > 0.8  # precision
    assert hits.sum() / len(chosen) > 0.75  # recall
    assert (found["suggested"] == labels[found["index"]])[hits].mean() > 0.95
    assert (np.diff(found["score"]) >= 0).all()
    assert (found["given"] == noisy[found["index"]]).all()


def test_joint_is_counted_by_hand():
    labels = np.array([0, 0, 0, 1, 1])
    ones = np.array([0.1, 0.2, 0.9, 0.8, 0.6])  # probability of class 1
    probabilities = np.stack([1 - ones, ones], axis=1)
    # thresholds: class 0 (0.9 + 0.8 + 0.1) / 3 = 0.6, class 1 (0.8 + 0.6) / 2 = 0.7; the last example reaches neither
    np.testing.assert_array_equal(confident_joint(labels, probabilities), [[2, 1], [0, 1]])
    assert find_label_issues(labels, probabilities).to_dict("records") == [
        {"index": 2, "given": 0, "suggested": 1, "score": pytest.approx(0.1)}
    ]


def test_the_issues_are_those_of_cleanlab(noisy_digits):
    count = pytest.importorskip("cleanlab.count", reason="cleanlab is not installed")
    noisy, probabilities, *_ = noisy_digits
    joint = count.compute_confident_joint(noisy, probabilities, calibrate=False)
    np.testing.assert_array_equal(confident_joint(noisy, probabilities), joint)
    from cleanlab.filter import find_label_issues as theirs_of

    theirs = set(theirs_of(noisy, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1))
    ours = set(find_label_issues(noisy, probabilities)["index"])
    assert len(ours & theirs) >= 0.9 * len(ours | theirs)  # they round the counts of a label to its total


def test_a_class_without_examples_is_never_suggested():
    labels = np.array([0, 1, 0, 1])
    probabilities = np.array([[0.1, 0.1, 0.8], [0.2, 0.7, 0.1], [0.8, 0.1, 0.1], [0.6, 0.3, 0.1]])
    assert 2 not in set(find_label_issues(labels, probabilities)["suggested"])


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 0], [[1, 0], [1, 0]], "at least two classes"),
        ([0, 1, 1], [[1, 0], [1, 0]], r"give \(N,\)"),
        ([0, 1], [[2.0, -5.0], [1.0, 3.0]], "not logits"),
        ([0, 2], [[1, 0], [1, 0]], "number them from 0"),
    ],
)
def test_bad_input_is_named(labels, probabilities, message):
    with pytest.raises(DataError, match=message):
        find_label_issues(np.array(labels), np.array(probabilities, float))

"""Confusion matrix: its order puts similar classes side by side, and its pairs are counted."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from legible import assert_legible

from cnnrecipes.errors import DataError
from cnnrecipes.explain import confusion, least_sure, plot_confusion, top_losses
from cnnrecipes.explain.confusion import similarity_order
from cnnrecipes.runs.predictions import Predictions


def predictions(probabilities, truth, names=None) -> Predictions:
    probabilities = np.asarray(probabilities, np.float32)
    n, classes = probabilities.shape
    names = names or tuple(f"class {i}" for i in range(classes))
    files = tuple(f"train[{i}]" for i in range(n))
    return Predictions("validation", names, files, np.arange(n), np.asarray(truth), probabilities, None, "")


def confused(pairs, classes=6, share=0.3, each=50) -> Predictions:
    """Each class is predicted right but for the pairs, which share their images."""
    truth = np.repeat(np.arange(classes), each)
    rows = np.full((len(truth), classes), 0.01)
    rows[np.arange(len(truth)), truth] = 0.9
    for one, other in pairs:
        for a, b in ((one, other), (other, one)):
            wrong = np.flatnonzero(truth == a)[: int(share * each)]
            rows[wrong, a], rows[wrong, b] = 0.2, 0.75
    return predictions(rows / rows.sum(axis=1, keepdims=True), truth)


def test_matrix_counts_labels_in_rows():
    found = confusion(predictions([[0.8, 0.2], [0.3, 0.7], [0.1, 0.9]], [0, 0, 1]))
    np.testing.assert_array_equal(found.matrix, [[1, 1], [0, 1]])
    assert found.pairs.to_dict("records") == [{"truth": "class 0", "predicted": "class 1", "n": 1, "share": 0.5}]
    assert str(found) == "most confused (validation): class 0 as class 1, 1 of 2 (50%)"


def test_order_puts_confused_classes_side_by_side():
    found = confusion(confused([(0, 3), (1, 5), (2, 4)]))
    places = {label: place for place, label in enumerate(found.order.tolist())}
    assert sorted(places) == list(range(6))
    assert all(abs(places[one] - places[other]) == 1 for one, other in [(0, 3), (1, 5), (2, 4)])
    assert {(row["truth"], row["predicted"]) for row in found.pairs.head(6).to_dict("records")} == {
        (f"class {a}", f"class {b}") for a, b in [(0, 3), (3, 0), (1, 5), (5, 1), (2, 4), (4, 2)]
    }


def test_order_of_a_chain_of_classes_is_the_chain():
    chain = np.random.default_rng(0).permutation(12)
    shares = np.zeros((12, 12))
    for one, other in itertools.pairwise(chain):
        shares[one, other] = shares[other, one] = 0.2
    found = similarity_order(shares)
    np.testing.assert_array_equal(found if found[0] == chain[0] else found[::-1], chain)


def test_classes_without_images_and_perfect_predictions():
    found = confusion(predictions(np.eye(4)[[0, 1, 0]], [0, 1, 0]))
    assert found.pairs.empty
    assert sorted(found.order.tolist()) == [0, 1, 2, 3]
    assert str(found) == "no image of the validation split is in a wrong class"
    assert_legible(plot_confusion(found))


@pytest.mark.parametrize("classes", [2, 12, 40, 200])
def test_plot_is_legible(classes, tmp_path):
    found = confusion(confused([(0, 1)], classes=classes, each=10))
    assert_legible(plot_confusion(found, path=tmp_path / "confusion.png"))
    assert (tmp_path / "confusion.png").stat().st_size > 1000


def test_plot_escapes_names():
    rows = [[0.2, 0.8], [0.6, 0.4]]
    names = ("<script>$x$", "‮" + "b" * 200)
    assert_legible(plot_confusion(confusion(predictions(rows, [0, 1], names))))


def test_top_losses_and_least_sure():
    found = predictions([[0.9, 0.1], [0.45, 0.55], [0.01, 0.99]], [0, 0, 0])
    worst = top_losses(found, 2)
    assert worst["file"].tolist() == ["train[2]", "train[1]"]
    assert worst["loss"].to_list() == pytest.approx(-np.log([0.01, 0.45]), rel=1e-5)
    assert worst.iloc[0][["truth", "predicted"]].tolist() == ["class 0", "class 1"]
    assert worst.iloc[0]["probability_truth"] == pytest.approx(0.01)
    assert least_sure(found, 1)["position"].tolist() == [1]
    assert len(least_sure(found)) == 3
    with pytest.raises(DataError, match="n = 0"):
        top_losses(found, 0)

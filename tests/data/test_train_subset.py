"""`data.train_images`: a stratified part of the training split, nested over sizes."""

from __future__ import annotations

import numpy as np
import pytest

from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.data.train_subset import stratified_order
from cnnrecipes.errors import DataError
from cnnrecipes.recipe import catalog


def test_beginnings_of_the_order_have_the_shares_of_the_classes():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    order = stratified_order(labels, 3)
    assert sorted(order) == list(range(100))
    assert set(labels[order[:3]]) == {0, 1, 2}
    for n in range(3, 101):
        counts = np.bincount(labels[order[:n]], minlength=3)
        assert np.all(np.abs(counts - n * np.array([0.6, 0.3, 0.1])) <= 1.5)
    assert list(stratified_order(labels, 3)) == list(order)
    assert list(stratified_order(labels, 4)) != list(order)


def parts(**changes) -> tuple[set[int], set[int]]:
    """Positions of the training and the validation images of the digits."""
    recipe = catalog.load("resnet8_digits").change(**changes)
    with InputPipeline.open(recipe) as pipeline:
        return tuple(set(pipeline.source.split(name).positions.tolist()) for name in ("train", "validation"))


def test_parts_are_nested_and_the_validation_split_stays():
    whole, validation = parts()
    small, same = parts(**{"data.train_images": 100})
    larger, _ = parts(**{"data.train_images": 300})
    other, _ = parts(**{"data.train_images": 100, "train.seed": 1})
    assert (len(small), len(larger)) == (100, 300)
    assert small < larger < whole
    assert same == validation
    assert other != small


@pytest.mark.parametrize(("count", "said"), [(5000, "has 1,259"), (9, "10 classes")])
def test_impossible_numbers_are_refused(count, said):
    with pytest.raises(DataError, match=said):
        parts(**{"data.train_images": count})

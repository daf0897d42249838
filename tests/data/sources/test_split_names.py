"""Recognition of split names as published data sets use them."""

from __future__ import annotations

import pytest

from cnnrecipes.data.sources.split_names import is_wrapper, split_of, split_within

TRAIN = "train Train TRAIN training training_set Training-Set train_images trainset TrainingSet train2017 images_train"
VALIDATION = "val Val valid validation VALIDATION val_set validset dev dev_set val2017 validation_images"
TEST = "test Test testing test_set testing_set TEST_IMAGES test1 testset TestData"


@pytest.mark.parametrize(
    ("name", "split"),
    [
        (name, split)
        for split, names in zip(("train", "validation", "test"), (TRAIN, VALIDATION, TEST), strict=True)
        for name in names.split()
    ],
)
def test_common_split_names_are_recognized(name, split):
    assert split_of(name) == split


@pytest.mark.parametrize(
    "name",
    [
        "cats",
        "trains",
        "bullet train",
        "contest",
        "latest",
        "valley",
        "device",
        "testudo",
        "crash_test_dummy",
        "2019",
        "train_test",
        "",
    ],
)
def test_other_names_are_not_splits(name):
    assert split_of(name) is None


def test_split_within_separates_the_split_from_the_rest_of_the_name():
    assert split_within("seg_train") == ("train", "seg")
    assert split_within("cats_test") == ("test", "cats")
    assert split_within("cats") == (None, "cats")
    assert split_within("train_and_test")[0] is None


def test_wrapper_names_are_recognized():
    assert all(is_wrapper(name) for name in ("images", "test", "unknown", "Data Set"))
    assert not any(is_wrapper(name) for name in ("cats", "seg_pred", "bullet train", "0", ""))

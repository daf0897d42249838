"""`split_off`: too few groups, folds beside a test split, classes that a fold holds entirely."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.errors import DataError
from cnnrecipes.recipe.schema import Data

IMAGES = np.random.default_rng(0).integers(0, 256, (120, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(120) % 3


def spec(**changes) -> Data:
    return Data(**{"name": "arrays", "image_size": 8, "validation": 0.0, **changes})


@pytest.mark.parametrize(
    ("groups", "changes", "words"),
    [
        (np.zeros(120), {"validation": 0.2}, "1 groups leave none for the validation split.*data.validation=0"),
        (LABELS, {"test": 0.2}, "3 groups leave none for the test split"),
        (np.arange(120) // 60, {"folds": 5}, "data.folds = 5, but there are 2 groups"),
    ],
)
def test_too_few_groups_are_refused(groups, changes, words):
    frame = pd.DataFrame({"path": [f"{i}.png" for i in range(120)], "label": LABELS, "group": groups})
    with pytest.raises(DataError, match=words):
        open_source(frame, spec(**changes))


@pytest.mark.parametrize("how", ["stratified", "content"])
def test_folds_do_not_change_the_test_split(how):
    folds = [
        open_source((IMAGES, LABELS), spec(folds=4, fold=number, test=0.25, split=how)).splits for number in range(4)
    ]
    for splits in folds:
        np.testing.assert_array_equal(splits["test"].positions, folds[0]["test"].positions)
        every = np.concatenate([split.positions for split in splits.values()])
        np.testing.assert_array_equal(np.sort(every), np.arange(120))
        np.testing.assert_array_equal(splits["validation"].labels, LABELS[splits["validation"].positions])
    shown = np.concatenate([splits["validation"].positions for splits in folds])
    assert len(shown) == len(set(shown)) == 120 - len(folds[0]["test"])
    assert 12 <= len(folds[0]["test"]) <= 50


def test_class_held_entirely_by_a_fold_raises_with_its_location():
    labels, groups = np.arange(36) // 6 % 3, np.arange(36) % 18
    labels, groups = np.where(np.arange(36) < 4, 3, labels), np.where(np.arange(36) < 4, 99, groups)  # one group
    frame = pd.DataFrame({"path": [f"{i}.png" for i in range(36)], "label": labels, "group": groups})
    found = []
    for number in range(3):
        try:
            open_source(frame, spec(folds=3, fold=number))
        except DataError as error:
            found.append(str(error))
    assert len(found) == 1
    assert "no training image of class '3' (validation has 4 of '3'; another data.split, data.folds" in found[0]

"""Splits at the edges: few groups, odd shares, folds beside a test split, rare classes dealt by content."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cnnrecipes.data.sources import open_source
from cnnrecipes.data.split import by_content, fold_by_content, grouped
from cnnrecipes.errors import DataError
from cnnrecipes.recipe import Data

IMAGES = np.random.default_rng(0).integers(0, 256, (120, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(120) % 3


def spec(**changes) -> Data:
    return Data(**{"name": "arrays", "image_size": 8, "validation": 0.0, **changes})


@pytest.mark.parametrize("share", [0.05, 0.15, 0.3, 0.4, 0.6, 0.7, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_grouped_shares_are_the_ones_asked_for(share, seed):
    random = np.random.default_rng(seed)
    labels, groups = random.integers(0, 4, 2000), random.integers(0, 200, 2000)
    parts = grouped(labels, groups, {"validation": share}, seed)
    assert len(parts["validation"]) / 2000 == pytest.approx(share, abs=0.02)
    for label in range(4):
        held = np.sum(labels[parts["validation"]] == label) / np.sum(labels == label)
        assert held == pytest.approx(share, abs=0.06)
    assert not set(groups[parts["train"]]) & set(groups[parts["validation"]])
    again, other = (grouped(labels, groups, {"validation": share}, s) for s in (seed, seed + 1))
    np.testing.assert_array_equal(parts["validation"], again["validation"])
    assert not np.array_equal(parts["validation"], other["validation"])


@pytest.mark.parametrize("count", [3, 4, 7])
@pytest.mark.parametrize("shares", [{"test": 0.1, "validation": 0.1}, {"test": 0.45, "validation": 0.45}])
def test_a_few_groups_go_round(count, shares):
    groups = np.arange(120) // 3 % count
    parts = grouped(LABELS, groups, shares, 0)
    np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(120))
    owners = [set(groups[part]) for part in parts.values()]
    assert all(owners)
    assert sum(map(len, owners)) == count
    assert set(LABELS[parts["train"]]) == {0, 1, 2}


@pytest.mark.parametrize("seed", range(20))
def test_a_class_of_one_group_is_trained_on(seed):
    labels, groups = np.where(np.arange(120) < 6, 3, LABELS), np.arange(120) // 6
    parts = grouped(labels, groups, {"validation": 0.8}, seed)
    assert set(labels[parts["train"]]) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("groups", "changes", "words"),
    [
        (np.zeros(120), {"validation": 0.2}, "1 groups leave none for the validation split.*data.validation=0"),
        (LABELS, {"test": 0.2}, "3 groups leave none for the test split"),
        (np.arange(120) // 60, {"folds": 5}, "data.folds = 5, and there are 2 groups"),
    ],
)
def test_groups_that_do_not_go_round_are_refused(groups, changes, words):
    frame = pd.DataFrame({"path": [f"{i}.png" for i in range(120)], "label": LABELS, "group": groups})
    with pytest.raises(DataError, match=words):
        open_source(frame, spec(**changes))


@pytest.mark.parametrize("how", ["stratified", "content"])
def test_folds_leave_the_test_split_alone(how):
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


def test_folds_by_content_stay_when_examples_are_added():
    contents = [f"photo {i}" for i in range(1000)]
    before, after = (fold_by_content(some, 5, 2, 0)["validation"] for some in (contents, [*contents, "new", "newer"]))
    assert set(after) - set(before) <= {1000, 1001}
    assert set(before) <= set(after)
    assert len(before) == pytest.approx(200, abs=5 * np.sqrt(160))


@pytest.mark.parametrize("seed", range(20))
def test_by_content_a_rare_class_is_trained_on_with_its_copies(seed):
    contents = [f"photo {i // 2}" for i in range(60)]
    labels = np.where(np.arange(60) < 4, 1, 0)
    parts = by_content(contents, {"validation": 0.6}, seed, labels)
    assert set(labels[parts["train"]]) == {0, 1}
    assert not {contents[i] for i in parts["train"]} & {contents[i] for i in parts["validation"]}
    moved = set(by_content(contents, {"validation": 0.6}, seed)["validation"]) - set(parts["validation"])
    assert len(moved) in (0, 2)
    assert all(labels[i] == 1 for i in moved)

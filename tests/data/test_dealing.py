"""Splits in edge cases: few groups, extreme shares, folds beside a test split, rare classes, split by content."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import cnnrecipes
from cnnrecipes.data.audit.check import check_data
from cnnrecipes.data.sources.class_problems import unmeasured_classes
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.data.split import by_content, fold_by_content, grouped
from cnnrecipes.errors import DataError
from cnnrecipes.recipe.schema import Data

IMAGES = np.random.default_rng(0).integers(0, 256, (120, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(120) % 3


def spec(**changes) -> Data:
    return Data(**{"name": "arrays", "image_size": 8, "validation": 0.0, **changes})


@pytest.mark.parametrize("share", [0.05, 0.15, 0.3, 0.4, 0.6, 0.7, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_grouped_split_keeps_shares_and_class_proportions(share, seed):
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
def test_few_groups_give_every_split_at_least_one(count, shares):
    groups = np.arange(120) // 3 % count
    parts = grouped(LABELS, groups, shares, 0)
    np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(120))
    owners = [set(groups[part]) for part in parts.values()]
    assert all(owners)
    assert sum(map(len, owners)) == count
    assert set(LABELS[parts["train"]]) == {0, 1, 2}


@pytest.mark.parametrize("seed", range(20))
def test_class_of_one_group_is_in_the_training_split(seed):
    labels, groups = np.where(np.arange(120) < 6, 3, LABELS), np.arange(120) // 6
    parts = grouped(labels, groups, {"validation": 0.8}, seed)
    assert set(labels[parts["train"]]) == {0, 1, 2, 3}


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


def test_folds_by_content_are_stable_when_examples_are_added():
    contents = [f"photo {i}" for i in range(1000)]
    before, after = (fold_by_content(some, 5, 2, 0)["validation"] for some in (contents, [*contents, "new", "newer"]))
    assert set(after) - set(before) <= {1000, 1001}
    assert set(before) <= set(after)
    assert len(before) == pytest.approx(200, abs=5 * np.sqrt(160))


@pytest.mark.parametrize("seed", range(20))
def test_rare_class_stays_in_training_with_its_copies_by_content(seed):
    contents = [f"photo {i // 2}" for i in range(60)]
    labels = np.where(np.arange(60) < 4, 1, 0)
    parts = by_content(contents, {"validation": 0.6}, seed, labels)
    assert set(labels[parts["train"]]) == {0, 1}
    assert not {contents[i] for i in parts["train"]} & {contents[i] for i in parts["validation"]}
    moved = set(by_content(contents, {"validation": 0.6}, seed)["validation"]) - set(parts["validation"])
    assert len(moved) in (0, 2)
    assert all(labels[i] == 1 for i in moved)


TINY = np.repeat(np.arange(6), [1, 1, 2, 3, 4, 4])  # classes of 1 to 4 images


def tiny(**changes):
    return open_source((IMAGES[: len(TINY)], TINY), spec(**changes))


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"validation": 0.2}, {"validation": ["0", "1"]}),
        ({"validation": 0.2, "test": 0.2}, {"validation": ["0", "1", "2"], "test": ["0", "1"]}),
        ({"validation": 0.0}, {}),
    ],
)
def test_classes_absent_from_a_stratified_split_are_reported(changes, lines):
    found = unmeasured_classes(tiny(**changes))
    assert len(found) == len(lines)
    for line, (name, classes) in zip(found, lines.items(), strict=True):
        listed = ", ".join(map(repr, classes))
        assert f"the {name} split" in line
        assert f"none of {len(classes)} of 6 classes: {listed}; its metrics do not measure them" in line


@pytest.mark.parametrize("how", ["content", "groups", "folds", "content folds", "groups folds"])
@pytest.mark.parametrize("seed", range(4))
def test_classes_absent_from_any_split_are_reported(how, seed):
    """A class without training images raises; one without held-out images is reported."""
    labels = np.repeat(np.arange(6), [4, 4, 5, 6, 8, 9])
    frame = {"path": [f"{i}.png" for i in range(36)], "label": labels}
    frame |= {"group": np.arange(36) // 2} if "group" in how else {}
    changes = {"folds": 3} if "folds" in how else {"validation": 0.25}
    changes["split"] = "content" if "content" in how else "stratified"
    data = pd.DataFrame(frame) if "group" in how else (IMAGES[:36], labels)
    source = open_source(data, spec(split_seed=seed, **changes))
    assert set(source.split("train").labels) == set(range(6))
    lacking = [name for label, name in enumerate(source.class_names) if label not in source.split("validation").labels]
    lines = unmeasured_classes(source)
    assert len(lines) == bool(lacking)
    assert all(repr(name) in line for line in lines for name in lacking)


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


def test_fit_reports_classes_absent_from_validation_once(tmp_path, capsys):
    changes = {"data.image_size": 8, "data.batch_size": 8, "data.validation": 0.2, "data.channels": 3}
    cnnrecipes.fit(
        "resnet8_digits", data=(IMAGES[: len(TINY)], TINY), workdir=tmp_path, **{"train.epochs": 1, **changes}
    )
    assert capsys.readouterr().out.count("has none of 2 of 6 classes: '0', '1'") == 1


def test_check_data_reports_classes_too_small_to_split():
    report = check_data((IMAGES[: len(TINY)], TINY), progress=False)
    (found,) = [finding for finding in report.findings if finding.kind == "few images"]
    assert found.severity == "warning"
    assert "few images of '0' (1), '1' (1), '2' (2): a class needs 2" in found.message
    held = check_data(
        {part: (IMAGES[:12], np.arange(12) % 6) for part in ("train", "validation", "test")}, progress=False
    )
    assert not [finding for finding in held.findings if finding.kind == "few images"]

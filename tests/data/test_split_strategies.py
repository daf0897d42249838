"""Splits: shares, groups, folds, rare classes, stability when data is added; class balance."""

from __future__ import annotations

from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from cnnrecipes.data import batching
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.data.split_strategies import by_content, fold, fold_by_content, grouped, stratified
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.errors import DataError, RecipeError
from cnnrecipes.keras_optim.recipe_loss import RecipeLoss, class_weights
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Data

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 4, 400)
GROUPS = RANDOM.integers(0, 60, 400)
THREE = np.arange(120) % 3  # labels of three classes


@pytest.mark.parametrize("seed", range(10))
def test_stratified_split_is_disjoint_complete_and_keeps_shares(seed):
    random = np.random.default_rng(seed)
    labels = random.choice([0, 3, 4, 9], 200, p=[0.6, 0.3, 0.09, 0.01])
    shares = dict(zip(("test", "validation"), random.uniform(0, 0.45, 2), strict=True))
    parts = stratified(labels, shares, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(200))
    assert set(labels[parts["train"]]) == set(labels)
    for name, share in shares.items():
        np.testing.assert_array_equal(parts[name], np.sort(parts[name]))
        for label in np.unique(labels):
            n, got = (int(np.sum(part == label)) for part in (labels, labels[parts[name]]))
            assert got == pytest.approx(share * n, abs=1 if n > 3 else n)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_rare_class_is_always_in_the_training_split(n, share):
    parts = stratified(np.array([0] * 50 + [1] * n), {"validation": share}, 0)
    assert 1 <= np.sum(parts["train"] >= 50) <= n
    assert np.sum(parts["validation"] >= 50) == (0 if share == 0 else min(max(round(share * n), 1), n - 1))


def test_stratified_split_is_uniform_and_reproducible_by_seed():
    labels = np.repeat([0, 1], 50)
    times = np.zeros(100)
    for seed in range(300):
        part = stratified(labels, {"validation": 0.2}, seed)["validation"]
        np.testing.assert_array_equal(part, stratified(labels, {"validation": 0.2}, seed)["validation"])
        times[part] += 1
    # 60 expected; five standard deviations of a binomial distribution
    assert np.abs(times - 60).max() < 5 * np.sqrt(300 * 0.2 * 0.8)


def test_grouped_split_keeps_groups_whole_and_shares_close():
    parts = grouped(LABELS, GROUPS, {"test": 0.2, "validation": 0.1}, 0)
    np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(400))
    groups = {name: set(GROUPS[part]) for name, part in parts.items()}
    assert sum(map(len, groups.values())) == len(set(GROUPS))
    assert abs(len(parts["test"]) / 400 - 0.2) < 0.05
    assert abs(len(parts["validation"]) / 400 - 0.1) < 0.05


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_folds_validate_every_example_once(groups):
    folds = [fold(LABELS, groups, 5, number, 3) for number in range(5)]
    np.testing.assert_array_equal(np.sort(np.concatenate([one["validation"] for one in folds])), np.arange(400))
    for one in folds:
        np.testing.assert_array_equal(np.sort(np.concatenate(list(one.values()))), np.arange(400))
        assert np.abs(np.bincount(LABELS[one["validation"]]) - np.bincount(LABELS) / 5).max() < (
            2 if groups is None else 12
        )


def test_split_by_content_is_stable_when_examples_are_added():
    contents = [f"photo {i}" for i in range(2000)]
    shares = {"test": 0.2, "validation": 0.1}
    before = {contents[i]: name for name, part in by_content(contents, shares, 0).items() for i in part}
    more = [f"new {i}" for i in range(500)] + contents[::-1]
    after = {more[i]: name for name, part in by_content(more, shares, 0).items() for i in part}
    assert all(after[text] == name for text, name in before.items())
    counts = Counter(before.values())
    assert abs(counts["test"] - 400) < 90
    assert abs(counts["validation"] - 200) < 67
    other = by_content(contents, shares, 1)
    assert len(set(other["test"]) & {i for i, text in enumerate(contents) if before[text] == "test"}) < 130


def test_copies_of_an_image_are_in_one_split_when_split_by_content(flowers, tmp_path):
    spec = Data(name="x", image_size=8, validation=0.3, split="content")
    images = np.repeat(RANDOM.integers(0, 256, (100, 8, 8, 3), dtype=np.uint8), 2, axis=0)
    source = open_source((images, np.arange(200) // 2 % 2), spec)
    pairs = [set(split.positions // 2) for split in source.splits.values()]
    assert not pairs[0] & pairs[1]
    assert {name: len(split) for name, split in open_source(flowers, spec).splits.items()}["validation"] in range(
        140, 220
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data.folds": 4, "data.fold": 4}, "fold 4 of 4 folds"),
        ({"data.folds": 30}, "data.folds = 30, but a class has 20 images"),
    ],
)
def test_invalid_folds_are_refused(changes, words):
    images = np.zeros((40, 8, 8, 3), np.uint8)
    with pytest.raises((RecipeError, DataError), match=words):
        open_source((images, np.arange(40) % 2), catalog.load("resnet20_cifar").change(**changes).data)


def test_balanced_sampling_shows_classes_and_examples_equally_often():
    labels = np.repeat([0, 1, 2], [100, 17, 3])
    images = np.broadcast_to(np.arange(120, dtype=np.uint8)[:, None, None, None], (120, 8, 8, 3))
    recipe = catalog.load("resnet20_cifar").change(
        **{
            "data.balance": "sampling",
            "data.batch_size": 30,
            "data.image_size": 8,
            "data.validation": 0.0,
            "augment.ops": [],
            "train.epochs": 3,
        }
    )
    split = open_source((images, labels), recipe.data).split("train")
    found = Statistics((120.0,) * 3, (60.0,) * 3)
    shown = [images[:, 0, 0, 0] for images, _ in batching.training_batches(split, recipe, found, 3).as_numpy_iterator()]
    for batch in shown:
        assert np.bincount(labels[batch]).tolist() == [10, 10, 10]
    epochs = np.concatenate(shown).reshape(3, 120)
    counts = np.zeros(120, int)
    for epoch in epochs:
        counts += np.bincount(epoch, minlength=120)
        for members in np.split(counts, [100, 117]):
            assert np.ptp(members) <= 1
    assert (epochs[0] != epochs[1]).any()


def test_class_weights_match_scikit_learn():
    labels = np.repeat([0, 1, 2], [100, 17, 3])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(class_weights(labels, 3), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weighted_loss_scales_each_example_by_its_class_weight(smoothing):
    weights, logits = [0.5, 2.0, 3.0], RANDOM.normal(size=(6, 3)).astype(np.float32)
    labels = np.array([0, 1, 2, 2, 1, 0])
    plain = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing, reduction=None)
    expected = np.mean(np.asarray(weights)[labels] * plain(np.eye(3)[labels], logits))
    loss = RecipeLoss("cross_entropy", smoothing, weights)
    np.testing.assert_allclose(loss(tf.one_hot(labels, 3), logits), expected, rtol=1e-5)
    again = RecipeLoss.from_config(loss.get_config())
    np.testing.assert_allclose(again(tf.one_hot(labels, 3), logits), expected, rtol=1e-5)


def test_repeated_image_in_a_balanced_batch_is_augmented_differently():
    images = RANDOM.integers(0, 256, (22, 16, 16, 3), dtype=np.uint8)
    changes = {"data.balance": "sampling", "data.batch_size": 20, "data.image_size": 16, "data.validation": 0.0}
    recipe = catalog.load("resnet20_cifar").change(**changes, **{"augment.ops": ["noise"]})
    split = open_source((images, np.repeat([0, 1], [20, 2])), recipe.data).split("train")
    found = Statistics((120.0,) * 3, (60.0,) * 3)
    batch, labels = next(batching.training_batches(split, recipe, found, 2).as_numpy_iterator())
    rare = batch[labels[:, 1] == 1]
    assert len(rare) == 10
    assert len(np.unique(rare.reshape(10, -1), axis=0)) == 10


@pytest.mark.parametrize("view", [np.s_[:, ::-1], np.s_[:, :, 2:6]])
def test_array_views_can_be_split_by_content(view):
    images = RANDOM.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)[view]
    source = open_source((images, np.arange(60) % 2), Data(name="x", validation=0.3, split="content"))
    assert 5 < len(source.split("validation")) < 35


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
    parts = grouped(THREE, groups, shares, 0)
    np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(120))
    owners = [set(groups[part]) for part in parts.values()]
    assert all(owners)
    assert sum(map(len, owners)) == count
    assert set(THREE[parts["train"]]) == {0, 1, 2}


@pytest.mark.parametrize("seed", range(20))
def test_class_of_one_group_is_in_the_training_split(seed):
    labels, groups = np.where(np.arange(120) < 6, 3, THREE), np.arange(120) // 6
    parts = grouped(labels, groups, {"validation": 0.8}, seed)
    assert set(labels[parts["train"]]) == {0, 1, 2, 3}


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

"""Batches are a pure function of (seed, epoch, position)."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from cnnrecipes.data import batching
from cnnrecipes.data.channel_statistics import split_statistics
from cnnrecipes.data.order import shuffled
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.data.standardize import Statistics, statistics
from cnnrecipes.models import standardize
from cnnrecipes.recipe import catalog

MEAN = Statistics((120.0,) * 3, (60.0,) * 3)


def numbered(n, batch=8, **changes):
    """A split whose image i has the value i, and its recipe."""
    images = np.zeros((n, 4, 4, 3), np.uint8)
    images[..., 0], images[..., 1] = (np.arange(n) % 256)[:, None, None], (np.arange(n) // 256)[:, None, None]
    labels = np.arange(n) % 2
    changes = {"data.batch_size": batch, "augment.ops": [], "data.image_size": 4, "data.validation": 0.0, **changes}
    recipe = catalog.load("resnet20_cifar").change(**changes)
    return open_source((images, labels), recipe.data).split("train"), recipe


def numbers(images):
    return images[:, 0, 0, 0].astype(int) + 256 * images[:, 0, 0, 1].astype(int)


def stream(split, recipe, **options):
    batches = batching.training_batches(split, recipe, MEAN, 2, **options)
    return list(batches.as_numpy_iterator())


def orders(n, **changes):
    split, recipe = numbered(n, batch=n, **{"train.epochs": 5, **changes})
    return np.stack([numbers(images) for images, _ in stream(split, recipe)])


def test_epochs_show_every_example_once_in_uncorrelated_orders():
    n = 3000
    found = orders(n)
    assert all(sorted(order) == list(range(n)) for order in found)
    both = np.corrcoef(np.concatenate([found, orders(n, **{"train.seed": 1}), [np.arange(n)]]))
    assert np.abs(both - np.eye(len(both))).max() < 5 / np.sqrt(n)
    assert max(np.mean(np.abs(np.diff(order)) == 1) for order in found) < 0.005


def test_public_index_shuffle_has_correlated_orders():
    """The reason for calling the raw operation with more rounds than `index_shuffle` has."""
    n = 45_000
    public = [tf.random.experimental.index_shuffle(tf.range(n), [0, epoch], n - 1) for epoch in range(12)]
    ours = [shuffled(tf.range(n, dtype=tf.int64), n, 0, tf.constant(e, tf.int64)) for e in range(12)]
    highest = [np.abs(np.corrcoef(orders) - np.eye(12)).max() for orders in (public, ours)]
    assert highest[0] > 0.3
    assert highest[1] < 5 / np.sqrt(n)


def test_incomplete_last_batch_is_dropped():
    split, recipe = numbered(21, batch=8, **{"train.epochs": 3})
    shown = [numbers(images) for images, _ in stream(split, recipe)]
    assert [len(batch) for batch in shown] == [8] * 6
    for epoch in range(3):
        assert len(set(np.concatenate(shown[2 * epoch : 2 * epoch + 2]))) == 16


def test_labels_match_their_images():
    split, recipe = numbered(50, batch=10, **{"train.epochs": 2})
    for images, labels in stream(split, recipe):
        np.testing.assert_array_equal(labels, np.eye(2)[numbers(images) % 2])


def test_fewer_examples_than_the_batch_size_form_one_batch():
    split, recipe = numbered(5, batch=128, **{"train.epochs": 2})
    assert [sorted(numbers(images)) for images, _ in stream(split, recipe)] == [list(range(5))] * 2


AUGMENTED = {"augment.ops": ["pad_crop(2)", "flip_lr", "cutout(2)"], "train.epochs": 3}


@pytest.mark.parametrize("first", [1, 7, 11])
def test_first_step_equals_skipping_batches(first):
    split, recipe = numbered(40, batch=8, **AUGMENTED)
    whole, rest = stream(split, recipe), stream(split, recipe, first_step=first)
    assert len(rest) == 15 - first
    for (images, labels), (other_images, other_labels) in zip(whole[first:], rest, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


def test_augmentation_does_not_depend_on_the_batch_size():
    shown = []
    for batch in (8, 20):
        split, recipe = numbered(40, batch=batch, **{**AUGMENTED, "train.epochs": 1})
        shown.append(np.concatenate([images for images, _ in stream(split, recipe)]))
    np.testing.assert_array_equal(*shown)


def digest(split, recipe, found, classes, threads=None):
    sha = hashlib.sha256()
    for images, labels in batching.training_batches(
        split, recipe, found, classes, last_step=40, threads=threads
    ).as_numpy_iterator():
        sha.update(images.tobytes() + labels.tobytes())
    return sha.hexdigest()


RECIPES = ["resnet8_digits", "photos_from_scratch"]


@pytest.fixture(scope="module")
def digests_of_another_process(flowers) -> dict[str, str]:
    code = f"""
        import hashlib
        from cnnrecipes.data import batching
        from cnnrecipes.data.channel_statistics import split_statistics
        from cnnrecipes.data.sources.opening import open_source
        from cnnrecipes.recipe import catalog
        for name in {RECIPES}:
            recipe = catalog.load(name)
            source = open_source({str(flowers)!r} if name == "photos_from_scratch" else None, recipe.data)
            split, sha = source.split("train"), hashlib.sha256()
            found = split_statistics(split, recipe.data)
            batches = batching.training_batches(split, recipe, found, len(source.class_names), last_step=40)
            for images, labels in batches.as_numpy_iterator():
                sha.update(images.tobytes() + labels.tobytes())
            print("digest", name, sha.hexdigest())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    return dict(line.split()[1:] for line in done.stdout.splitlines() if line.startswith("digest "))


@pytest.mark.parametrize("name", RECIPES)
def test_batches_are_identical_across_thread_counts_and_processes(name, flowers, digests_of_another_process):
    recipe = catalog.load(name)
    source = open_source(str(flowers) if name == "photos_from_scratch" else None, recipe.data)
    split, classes = source.split("train"), len(source.class_names)
    found = split_statistics(split, recipe.data)
    one, two = (digest(split, recipe, found, classes, threads) for threads in (1, 2))
    assert one == two == digests_of_another_process[name]


@pytest.mark.parametrize("n", [5, 16, 70])
def test_evaluation_shows_every_example_once_in_order(n):
    split, recipe = numbered(n)
    shown = list(batching.evaluation_batches(split, recipe.data, 2).as_numpy_iterator())
    assert {images.shape for images, _, _ in shown} == {(batching.EVALUATION_BATCH, 4, 4, 3)}
    images, labels, weights = (np.concatenate(parts) for parts in zip(*shown, strict=True))
    np.testing.assert_array_equal(numbers(images)[weights > 0], np.arange(n))
    np.testing.assert_array_equal(labels[weights > 0].argmax(1), np.arange(n) % 2)
    assert set(weights) <= {0.0, 1.0}


@pytest.mark.parametrize("size", [4, 6])
def test_arrays_are_those_of_the_pipeline_with_and_without_resizing(size):
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3), np.uint8)
    recipe = catalog.load("resnet20_cifar").change(**{"data.image_size": size, "data.validation": 0.4})
    source = open_source((images, np.arange(50) % 3), recipe.data)
    for split in source.splits.values():
        batches = batching.evaluation_batches(split, recipe.data, 3).as_numpy_iterator()
        for found, expected in zip(batching.arrays(split, recipe.data, 3), batches, strict=True):
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)
                assert one.dtype == other.dtype


def test_array_larger_than_two_gigabytes(tmp_path):
    n = 720_000
    images = np.memmap(tmp_path / "images", np.uint8, "w+", shape=(n, 32, 32, 3))
    assert images.nbytes > 2**31
    images[-1] = 7
    recipe = catalog.load("resnet20_cifar").change(**{"data.validation": 0.0, "augment.ops": ["flip_lr"]})
    split = open_source((images, np.arange(n) % 2), recipe.data).split("train")
    batches = batching.training_batches(split, recipe, MEAN, 2, last_step=3)
    assert [batch.shape for batch, _ in batches.as_numpy_iterator()] == [(128, 32, 32, 3)] * 3
    np.testing.assert_array_equal(split.read(n - 1)[0], 7)


def test_statistics_match_numpy():
    batches = [np.random.default_rng(i).integers(0, 256, (i + 1, 5, 3, 3), dtype=np.uint8) for i in range(4)]
    found, whole = statistics(batches), np.concatenate(batches).astype(float)
    np.testing.assert_allclose(found.mean, whole.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(found.std, whole.std((0, 1, 2)), rtol=1e-12)
    layer = standardize(found.mean, found.std)
    np.testing.assert_allclose(found.standardize(batches[0]), layer(batches[0]), atol=1e-6)


def test_batches_are_not_autotuned_so_that_nothing_waits_for_the_thread():
    """A release of an iterator would wait for the sleeping thread: in half of the cases 20 s after a use of 25 s."""
    split, recipe = numbered(40)
    made = [
        batching.training_batches(split, recipe, MEAN, 2),
        batching.evaluation_batches(split, recipe.data, 2),
        batching.evaluation_batches(split, recipe.data, 2).repeat(),
        batching.view_batches(split, recipe, MEAN, 2, 0),
    ]
    assert [batches.options().autotune.enabled for batches in made] == [False] * 4

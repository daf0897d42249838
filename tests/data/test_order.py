"""The order of examples, the count of their repetitions over epochs, and alternating flips."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cnnrecipes.data import batching
from cnnrecipes.data.augmentation import Augmentation
from cnnrecipes.data.order import Balanced, Permutations, showings
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.recipe import catalog

MEAN = Statistics((120.0,) * 3, (60.0,) * 3)
SIZES = (40, 17, 5, 1)  # of the classes
LABELS = np.repeat(np.arange(4), SIZES)


def split_of(**changes):
    """Image i has the value i in its left half and 255 in its right half; the split and its recipe."""
    images = np.full((len(LABELS), 4, 4, 3), 255, np.uint8)
    images[:, :, :2] = np.arange(len(LABELS))[:, None, None, None]
    changes = {"data.batch_size": 12, "data.image_size": 4, "data.validation": 0.0, "train.epochs": 6} | changes
    recipe = catalog.load("resnet20_cifar").change(**{"augment.ops": ["alternating_flip_lr"], **changes})
    return open_source((images, LABELS), recipe.data).split("train"), recipe


def shown(split, recipe, **options):
    """(example, mirrored) of every row of every batch."""
    batches = batching.training_batches(split, recipe, MEAN, 4, **options).as_numpy_iterator()
    left = [[row[0, [0, -1], 0] for row in images] for images, _ in batches]
    return np.asarray([[(min(pair), pair[0] == 255) for pair in batch] for batch in left], int)


@pytest.mark.parametrize("balance", ["none", "sampling"])
@pytest.mark.parametrize(("batch", "repeats"), [(12, 1), (63, 1), (16, 1), (12, 2), (12, 3), (18, 6)])
def test_consecutive_repetitions_of_an_example_are_mirror_images(balance, batch, repeats):
    changes = {"data.balance": balance, "data.batch_size": batch, "augment.repeats": repeats}
    rows = shown(*split_of(**changes)).reshape(-1, 2)
    first = []
    for example in range(len(LABELS)):
        turned = rows[rows[:, 0] == example, 1]
        assert (np.diff(turned) != 0).all(), f"example {example}: {turned}"
        first += turned[:1].tolist()
    assert 0.3 < np.mean(first) < 0.7
    assert len(rows) // len(LABELS) >= 4


@pytest.mark.parametrize("balance", ["none", "sampling"])
@pytest.mark.parametrize("repeats", [1, 2])
def test_alternation_does_not_depend_on_first_step_or_shards(balance, repeats):
    split, recipe = split_of(**{"data.balance": balance, "augment.repeats": repeats})
    whole = shown(split, recipe)
    np.testing.assert_array_equal(shown(split, recipe, first_step=13), whole[13:])
    np.testing.assert_array_equal(shown(split, recipe, last_step=7), whole[:7])
    shards = [shown(split, recipe, shard=(shard, 3)) for shard in range(3)]
    np.testing.assert_array_equal(np.concatenate(shards, axis=1), whole)


def test_alternation_is_the_same_in_the_training_step():
    split, recipe = split_of(**{"data.balance": "sampling", "augment.repeats": 2})
    augmentation = Augmentation.of(recipe, MEAN, in_step=True)
    ahead = batching.training_batches(split, recipe, MEAN, 4)
    given = batching.training_batches(split, recipe, MEAN, 4, augmentation=augmentation)
    for (images, _), ((plain, keys, epochs), labels) in zip(ahead, given, strict=True):
        np.testing.assert_array_equal(images, augmentation(plain, labels, keys, epochs)[0])


@pytest.mark.parametrize("places", [63, 60, 31, 7])
def test_earlier_repetitions_are_counted_for_permutations(places):
    order = Permutations(63, places, 9, seed=3)
    counts, earlier, place = np.zeros(63, int), order.earlier(), tf.range(places, dtype=tf.int64)
    for epoch in range(9):
        epoch = tf.constant(epoch, tf.int64)
        examples = order.examples(place, epoch)
        np.testing.assert_array_equal(earlier(examples, place, epoch), counts[examples] % 2)
        np.add.at(counts, examples, 1)


def test_balanced_order_counts_classes_and_examples_evenly():
    places = 50  # not a multiple of the number of classes, nor of the size of any class
    order = Balanced(LABELS, places, seed=0)
    earlier, place, counts = order.earlier(), tf.range(places, dtype=tf.int64), np.zeros(len(LABELS), int)
    for epoch in range(8):
        epoch = tf.constant(epoch, tf.int64)
        examples = order.examples(place, epoch).numpy()
        for example, before in zip(examples, earlier(examples, place, epoch).numpy(), strict=True):
            assert before == counts[example]
            counts[example] += 1
        by_class = [counts[label == LABELS] for label in range(4)]
        assert all(np.ptp(some) <= 1 for some in by_class)
        assert np.ptp([some.sum() for some in by_class]) <= 1


@pytest.mark.parametrize("repeats", [1, 2, 3])
def test_repetitions_within_a_batch_are_counted(repeats):
    """Compared with explicit counting, for batches with repeated examples."""
    random = np.random.default_rng(repeats)
    counts, plain = np.zeros(5, int), np.zeros(5, int)
    for _ in range(10):
        examples, earlier = random.integers(0, 5, 8), []
        for example in examples:
            earlier.append(plain[example])
            plain[example] += 1
        row = np.arange(8 * repeats)
        found = showings(tf.constant(examples), tf.constant(np.asarray(earlier)), row % 8, row // 8, repeats).numpy()
        for example, number in zip(np.tile(examples, repeats), found, strict=True):
            assert number == counts[example]
            counts[example] += 1

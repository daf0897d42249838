"""Batch sampler: which examples a training step shows, in which order, with which keys of the augmentation.

A place is an example at a position of a batch. There is no state: all is computed from the number of the step.
"""

from __future__ import annotations

import tensorflow as tf

from cnnrecipes.augment.operation import CropWhileDecoding, Mix, parse_list
from cnnrecipes.augment.threefry import streams
from cnnrecipes.data.order import Balanced, Permutations, showings
from cnnrecipes.data.sources.random_access_dataset import Split
from cnnrecipes.data.tf_data_defaults import mapped
from cnnrecipes.errors import RecipeError
from cnnrecipes.recipe import schema


def steps_per_epoch(split: Split, spec: schema.Data) -> int:
    """Return the number of training batches per epoch: full batches only; each epoch drops different examples."""
    return max(len(split) // spec.batch_size, 1)


def training_examples(
    split: Split,
    whole: schema.Recipe,
    classes: int,
    *,
    first_step: int,
    last_step: int,
    shard: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Return what `training_batches` shows in the steps `first_step` to `last_step` (exclusive), without the images.

    Args:
        split: the training split.
        whole: the recipe.
        classes: number of classes.
        first_step, last_step: counted from the start of the training.
        shard: as in `training_places`.

    Returns:
        epochs (N,) int64, indices of the examples (N,) int64, and labels (N, classes) float32, one-hot.
    """
    labels = tf.constant(split.labels)
    places = training_places(split, whole, (first_step, last_step), shard)
    return mapped(
        places, lambda epoch, index, keys, draws: (epoch, index, tf.one_hot(tf.gather(labels, index), classes))
    )


def training_places(
    split: Split,
    whole: schema.Recipe,
    steps: tuple[int, int],
    shard: tuple[int, int],
    *,
    crop: CropWhileDecoding | None = None,
    alternates: bool = False,
) -> tf.data.Dataset:
    """Return the places of the training batches of the steps `steps[0]` to `steps[1]` (exclusive).

    Args:
        whole: the recipe.
        steps: counted from the start of the training.
        shard: (index, count): every batch is divided into `count` shards, of which this is one.
        crop: the random crop of the recipe; None: the draws are not used.
        alternates: count how often each example was shown before, for the third column of the keys.

    Returns:
        epochs (N,), indices of the examples (N,), keys of the augmentation (N, 3), and draws of the crop (N, k).
    """
    spec, seed, repeats = whole.data, whole.train.seed, whole.augment.repeats
    size, per_epoch = min(spec.batch_size, len(split)), steps_per_epoch(split, spec)
    distinct, (first, rows) = distinct_images(size, repeats), shard_rows(size, shard, whole.augment)
    order: Balanced | Permutations
    if spec.balance == "sampling":
        order = Balanced(split.labels, per_epoch * distinct, seed)
    else:
        order = Permutations(len(split), per_epoch * distinct, -(-steps[1] // per_epoch), seed)
    shown_before = _showings(order, distinct, repeats) if alternates else None

    def choose(step):
        epoch, step = step // per_epoch, step % per_epoch
        place = tf.range(first, first + rows, dtype=tf.int64)
        shown = step * distinct + place % distinct
        index = order.examples(shown, epoch)
        # Repeats of an image are augmented differently, also those of class-balanced sampling in one epoch.
        key = (shown if spec.balance == "sampling" else index) + place // distinct * len(split)
        draws = streams(seed, epoch, key, {0: crop.draws})[0] if crop else no_draws(rows)
        showing = shown_before(place, step, epoch) if shown_before else tf.zeros_like(key)
        return tf.fill([rows], epoch), index, tf.stack([key, index, showing], 1), draws

    return mapped(tf.data.Dataset.range(*steps), choose)


def _showings(order: Permutations | Balanced, distinct: int, repeats: int):
    """Return a function of (rows, step, epoch) that counts how often the example of each row was shown before.

    The count is exact for class-balanced sampling (`Balanced`); for `Permutations` it is right modulo 2 only.

    Args:
        order: the order of the examples.
        distinct: number of distinct images in a batch.
        repeats: `augment.repeats`.
    """
    earlier = order.earlier()

    def of_rows(row, step, epoch):
        shown = step * distinct + (row if repeats == 1 else tf.range(distinct, dtype=tf.int64))
        index = order.examples(shown, epoch)
        before = earlier(index, shown, epoch)
        return before if repeats == 1 else showings(index, before, row % distinct, row // distinct, repeats)

    return of_rows


def distinct_images(size: int, repeats: int) -> int:
    """Return the number of distinct images in a batch. Raises RecipeError if `repeats` does not divide the batch."""
    if size % repeats:
        raise RecipeError(f"augment.repeats = {repeats} does not divide a batch of {size}; set data.batch_size to fit")
    return size // repeats


def shard_rows(size: int, shard: tuple[int, int], augment: schema.Augment) -> tuple[int, int]:
    """Return the first row and the number of rows of a shard. Raises RecipeError if shards would differ in size."""
    which, shards = shard
    if size % shards:
        raise RecipeError(
            f"a batch of {size} does not divide into {shards} shards; set data.batch_size to a multiple of {shards}"
        )
    rows = size // shards
    mixes = any(isinstance(op, Mix) for op in parse_list(augment.ops))
    if shards > 1 and mixes and rows % 2:
        raise RecipeError(
            f"{shards} devices with {rows} images each cannot mix them in pairs; set data.batch_size to a multiple of "
            f"{2 * shards}"
        )
    return which * rows, rows


def no_draws(size: int) -> tf.Tensor:
    """Return draws with one unused column: TensorFlow 2.21 crashes when it unbatches a tensor without columns."""
    return tf.zeros((size, 1))

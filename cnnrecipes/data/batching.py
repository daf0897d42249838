"""Training and evaluation batches as a pure function of (split, recipe, seed, epoch, position).

There is no state: order and augmentation are computed from the position. The batches do not depend on threads or
processes, and training can start at any step.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from cnnrecipes._support.cores import available_cores
from cnnrecipes.augment.operation import CropWhileDecoding, Mix
from cnnrecipes.augment.threefry import streams
from cnnrecipes.data.augmentation import Augmentation
from cnnrecipes.data.batch_sampler import (
    distinct_images,
    no_draws,
    shard_rows,
    steps_per_epoch,
    training_places,
)
from cnnrecipes.data.decoding_errors import unreadable_image
from cnnrecipes.data.image_shape import image_shape
from cnnrecipes.data.images import tf_data_readers
from cnnrecipes.data.images.image_store import ArrayImages
from cnnrecipes.data.images.releasable_functions import Handles
from cnnrecipes.data.sources.random_access_dataset import Split
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.data.tf_data_defaults import mapped, without_autotuning
from cnnrecipes.errors import RecipeError
from cnnrecipes.recipe import schema

# One shape for validation, test and prediction: kernels round differently for different batch sizes, and predictions
# must be bit-identical to validation. With 16 rows, unlike 32, TensorFlow's matrix product on the CPU does not
# depend on the position of a row either.
EVALUATION_BATCH = 16


def training_batches(
    split: Split,
    whole: schema.Recipe,
    statistics: Statistics,
    classes: int,
    *,
    first_step: int = 0,
    last_step: int | None = None,
    augmentation: Augmentation | None = None,
    shard: tuple[int, int] = (0, 1),
    threads: int | None = None,
) -> tf.data.Dataset:
    """Return the shuffled, augmented training batches of the steps `first_step` to `last_step` (exclusive).

    Args:
        split: the examples to train on.
        whole: the recipe.
        statistics: channel statistics of the training split; its mean fills empty areas in augmentation.
        classes: number of classes.
        first_step: first global step, from 0.
        last_step: global step to stop before; None: the end of training.
        augmentation: None: the recipe's. An augmentation with `in_step` is left to the training step.
        shard: (index, count); yields this shard of every batch, for one of several devices.
        threads: size of a private thread pool; None: TensorFlow's shared pool. Does not change the batches.

    Returns:
        images (N, H, W, C) uint8 0..255, and labels (N, classes) float32, one-hot, or soft after mixing. N is the
        recipe's batch size, or the split's size if that is smaller. For an augmentation in the training step the
        images are replaced by (images, keys (N, 3), epochs (N,)), the arguments of `Augmentation`.

    Raises:
        RecipeError: the size of an operation differs from that of the batches; or `augment.repeats` or the number of
            shards does not divide the batch.
    """
    spec = whole.data
    augmentation = augmentation or Augmentation.of(whole, statistics)
    crop = _random_crop(augmentation, image_shape(split, spec))
    last_step = whole.train.epochs * steps_per_epoch(split, spec) if last_step is None else last_step
    chosen = training_places(
        split, whole, (first_step, last_step), shard, crop=crop, alternates=augmentation.alternates
    )
    rows = shard_rows(min(spec.batch_size, len(split)), shard, whole.augment)[1]
    loaded = _load(chosen, split, spec, classes, rows, crop)
    if augmentation.in_step:
        batches = mapped(loaded, lambda epoch, key, images, labels: ((images, key, epoch), labels))
    else:
        batches = mapped(
            loaded,
            lambda epoch, key, images, labels: augmentation.in_pipeline(images, labels, key, epoch),
            tf.data.AUTOTUNE,
        )
    return finish(batches, threads).apply(tf.data.experimental.assert_cardinality(last_step - first_step))


def view_batches(
    split: Split, whole: schema.Recipe, statistics: Statistics, classes: int, view: int
) -> tf.data.Dataset:
    """Return every example once, in order, augmented as in epoch `view` of a training; the last batch is padded.

    Returns:
        images (16, H, W, C) uint8 0..255.

    Raises:
        RecipeError: the augmentation mixes images, or depends on how often an image was shown.
    """
    augmentation = Augmentation.of(whole, statistics)
    if augmentation.alternates or any(isinstance(op, Mix) for op in augmentation.ops):
        raise RecipeError(
            f"transfer.views = {whole.transfer.views} needs an augmentation of single images; remove mixing and "
            f"alternating operations from augment.ops = {list(whole.augment.ops)}"
        )
    spec, crop = whole.data, _random_crop(augmentation, image_shape(split, whole.data))

    def choose(step):
        place = step * EVALUATION_BATCH + tf.range(EVALUATION_BATCH, dtype=tf.int64)
        index = tf.minimum(place, len(split) - 1)
        draws = streams(whole.train.seed, view, index, {0: crop.draws})[0] if crop else no_draws(EVALUATION_BATCH)
        return tf.zeros_like(index) + view, index, tf.stack([index, index, tf.zeros_like(index)], 1), draws

    chosen = mapped(tf.data.Dataset.range(evaluation_steps(split)), choose)
    loaded = _load(chosen, split, spec, classes, EVALUATION_BATCH, crop)
    images = mapped(loaded, lambda epoch, key, images, labels: augmentation(images, labels, key, epoch)[0])
    return finish(images, None)


def check_batches(split: Split, whole: schema.Recipe, augmentation: Augmentation, shards: int = 1) -> None:
    """Raise RecipeError where `training_batches` would, without building the pipeline."""
    size = min(whole.data.batch_size, len(split))
    distinct_images(size, whole.augment.repeats)
    shard_rows(size, (0, shards), whole.augment)
    _random_crop(augmentation, image_shape(split, whole.data))


def evaluation_steps(split: Split, shards: int = 1) -> int:
    """Return the number of evaluation batches per device: the same for each of `shards` devices, rounded up."""
    return -(-len(split) // (EVALUATION_BATCH * shards))


def evaluation_batches(
    split: Split,
    spec: schema.Data,
    classes: int,
    *,
    shard: tuple[int, int] = (0, 1),
    threads: int | None = None,
) -> tf.data.Dataset:
    """Return every example once, in order, resized and not augmented, in batches of one shape; the last is padded.

    Args:
        split: the examples to evaluate on.
        spec: the recipe's `data` table.
        classes: number of classes.
        shard: (index, count); yields every count-th batch. All shards have the same number of batches.
        threads: size of a private thread pool; None: TensorFlow's shared pool.

    Returns:
        images (16, H, W, C) uint8 0..255, labels (16, classes) float32, one-hot, and weights (16,) float32: 1 for an
        example, 0 for padding in the last batch.
    """
    which, shards = shard
    steps = evaluation_steps(split, shards)

    def places(step):
        return (step * shards + which) * EVALUATION_BATCH + tf.range(EVALUATION_BATCH, dtype=tf.int64)

    def choose(step):
        place = places(step)
        index = tf.minimum(place, len(split) - 1)
        return tf.zeros_like(place), index, index[:, None], no_draws(EVALUATION_BATCH)

    chosen = mapped(tf.data.Dataset.range(steps), choose)
    loaded = _load(chosen, split, spec, classes, EVALUATION_BATCH)
    numbered = tf.data.Dataset.zip(tf.data.Dataset.range(steps), loaded)

    def weighted(step, example):
        _, _, images, labels = example
        return images, labels, tf.cast(places(step) < len(split), tf.float32)

    return finish(mapped(numbered, weighted), threads)


def arrays(split: Split, spec: schema.Data, classes: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the evaluation batches as NumPy arrays. Raises DataError that names an image that cannot be decoded."""
    if isinstance(split.images, ArrayImages) and not tf_data_readers.resizes(
        split.images, spec, image_shape(split, spec)
    ):
        yield from _slices(split, split.images.array, classes)
        return
    try:
        yield from evaluation_batches(split, spec, classes).as_numpy_iterator()
    except tf.errors.OpError as error:
        raise (unreadable_image(split, spec) or error) from None


def _slices(split: Split, images: np.ndarray, classes: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the evaluation batches of images that are not resized: slices, without the time to build a pipeline."""
    for start in range(0, len(split), EVALUATION_BATCH):
        places = np.arange(start, start + EVALUATION_BATCH)
        index = np.minimum(places, len(split) - 1)
        labels = split.labels[index, None] == np.arange(classes)
        yield images[split.positions[index]], labels.astype(np.float32), (places < len(split)).astype(np.float32)


def _random_crop(augmentation: Augmentation, shape: tuple[int, int, int]) -> CropWhileDecoding | None:
    """Return the random crop of the augmentation, or None.

    Args:
        augmentation: the augmentation.
        shape: (H, W, C) of the images in a batch.

    Raises:
        RecipeError: the crop has another size in pixels than these images.
    """
    op = augmentation.random_crop
    if op is not None and op.size not in (None, *shape[:2]):
        raise RecipeError(f"augment.ops crops to {op.size} pixels, the images are {shape[:2]}; remove the size")
    return op


def _load(chosen: tf.data.Dataset, split: Split, spec: schema.Data, classes: int, size: int, crop=None):
    """Map (epochs (N,), indices (N,), keys (N, k), crop draws (N, k)) to (epochs, keys, images, labels)."""
    labels, shape, handles = tf.constant(split.labels), image_shape(split, spec), Handles()
    split.handles.add(handles)

    def with_label(epoch, index, key, image):
        return epoch, key, image, tf.one_hot(tf.gather(labels, index), classes)

    if isinstance(split.images, ArrayImages):
        read = tf_data_readers.from_array(split, spec, shape, crop, handles)
        read_all = mapped(chosen, lambda e, i, key, draws: with_label(e, i, key, read(i, draws)), tf.data.AUTOTUNE)
        return handles.close_with(read_all)
    if spec.cache == "none":
        content, read = tf_data_readers.contents(split, handles), tf_data_readers.from_files(split, spec, shape, crop)
        chosen = mapped(chosen, lambda e, i, key, draws: (e, i, key, draws, *content(i)), tf.data.AUTOTUNE)

        def images(i, draws, *file):
            return read(*file, draws)

    else:
        images = tf_data_readers.from_kept(split, spec, shape, crop, handles)
    single = chosen.unbatch()
    examples = mapped(single, lambda e, i, key, *what: with_label(e, i, key, images(i, *what)), available_cores())
    return handles.close_with(examples.batch(size, drop_remainder=True))


def finish(batches: tf.data.Dataset, threads: int | None) -> tf.data.Dataset:
    """Return batches that are prefetched in a fixed order, and that TensorFlow does not shard again."""
    options = tf.data.Options()
    options.deterministic = True
    if threads is not None:
        options.threading.private_threadpool_size = threads
    # The batches are already sharded: TensorFlow must not shard them again.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return without_autotuning(batches.prefetch(tf.data.AUTOTUNE).with_options(options))

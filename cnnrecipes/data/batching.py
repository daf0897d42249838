"""Training and evaluation batches as a pure function of (split, recipe, seed, epoch, position).

There is no state: order and augmentation are computed from the position. The batches do not depend on threads or
processes, and training can start at any step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from cnnrecipes.augment.operation import CropWhileDecoding, Mix, parse_list
from cnnrecipes.augment.threefry import streams
from cnnrecipes.data.augmentation import Augmentation
from cnnrecipes.data.image_shape import image_shape
from cnnrecipes.data.images import readers
from cnnrecipes.data.images.graph_references import Handles
from cnnrecipes.data.images.image_store import ArrayImages
from cnnrecipes.data.order import Balanced, Permutations, showings
from cnnrecipes.data.sources.source import Split
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.data.unreadable_images import unreadable_image
from cnnrecipes.errors import RecipeError
from cnnrecipes.recipe import schema

# One shape for validation, test and prediction: kernels round differently for different batch sizes, and predictions
# must be bit-identical to validation. With 16 rows, unlike 32, TensorFlow's matrix product on the CPU does not
# depend on the position of a row either.
EVALUATION_BATCH = 16


def steps_per_epoch(split: Split, spec: schema.Data) -> int:
    """Return the number of training batches per epoch: full batches only; each epoch drops different examples."""
    return max(len(split) // spec.batch_size, 1)


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
    spec, seed, repeats = whole.data, whole.train.seed, whole.augment.repeats
    size, steps = min(spec.batch_size, len(split)), steps_per_epoch(split, spec)
    distinct, (first, rows) = _distinct(size, repeats), _rows(size, shard, whole.augment)
    augmentation = augmentation or Augmentation.of(whole, statistics)
    crop = _random_crop(augmentation, image_shape(split, spec))
    last_step = whole.train.epochs * steps if last_step is None else last_step
    order: Balanced | Permutations
    if spec.balance == "sampling":
        order = Balanced(split.labels, steps * distinct, seed)
    else:
        order = Permutations(len(split), steps * distinct, -(-last_step // steps), seed)
    shown_before = _showings(order, distinct, repeats) if augmentation.alternates else None

    def choose(step):
        epoch, step = step // steps, step % steps
        place = tf.range(first, first + rows, dtype=tf.int64)
        shown = step * distinct + place % distinct
        index = order.examples(shown, epoch)
        # Repeats of an image are augmented differently, also those of class-balanced sampling in one epoch.
        key = (shown if spec.balance == "sampling" else index) + place // distinct * len(split)
        draws = streams(seed, epoch, key, {0: crop.draws})[0] if crop else _no_draws(rows)
        showing = shown_before(place, step, epoch) if shown_before else tf.zeros_like(key)
        return tf.fill([rows], epoch), index, tf.stack([key, index, showing], 1), draws

    chosen = _map(tf.data.Dataset.range(first_step, last_step), choose)
    loaded = _load(chosen, split, spec, classes, rows, crop)
    if augmentation.in_step:
        batches = _map(loaded, lambda epoch, key, images, labels: ((images, key, epoch), labels))
    else:
        batches = _map(
            loaded, lambda epoch, key, images, labels: augmentation(images, labels, key, epoch), tf.data.AUTOTUNE
        )
    return _finish(batches, threads).apply(tf.data.experimental.assert_cardinality(last_step - first_step))


def check_batches(split: Split, whole: schema.Recipe, augmentation: Augmentation, shards: int = 1) -> None:
    """Raise RecipeError where `training_batches` would, without building the pipeline."""
    size = min(whole.data.batch_size, len(split))
    _distinct(size, whole.augment.repeats)
    _rows(size, (0, shards), whole.augment)
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
        return tf.zeros_like(place), index, index[:, None], _no_draws(EVALUATION_BATCH)

    chosen = _map(tf.data.Dataset.range(steps), choose)
    loaded = _load(chosen, split, spec, classes, EVALUATION_BATCH)
    weights = _map(tf.data.Dataset.range(steps), lambda step: tf.cast(places(step) < len(split), tf.float32))
    batches = tf.data.Dataset.zip(loaded, weights)
    return _finish(_map(batches, lambda example, weight: (*example[2:], weight)), threads)


def arrays(split: Split, spec: schema.Data, classes: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the evaluation batches as NumPy arrays. Raises DataError that names an image that cannot be decoded."""
    try:
        yield from evaluation_batches(split, spec, classes).as_numpy_iterator()
    except tf.errors.OpError as error:
        raise (unreadable_image(split, spec) or error) from None


def _showings(order: Permutations | Balanced, distinct: int, repeats: int):
    """Return a function of (rows, step, epoch) to the earlier showings of each row's example, exact or modulo 2."""
    earlier = order.earlier()

    def of_rows(row, step, epoch):
        shown = step * distinct + (row if repeats == 1 else tf.range(distinct, dtype=tf.int64))
        index = order.examples(shown, epoch)
        before = earlier(index, shown, epoch)
        return before if repeats == 1 else showings(index, before, row % distinct, row // distinct, repeats)

    return of_rows


def _distinct(size: int, repeats: int) -> int:
    """Return the number of distinct images in a batch. Raises RecipeError if `repeats` does not divide the batch."""
    if size % repeats:
        raise RecipeError(f"augment.repeats = {repeats} does not divide a batch of {size}; set data.batch_size to fit")
    return size // repeats


def _rows(size: int, shard: tuple[int, int], augment: schema.Augment) -> tuple[int, int]:
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


def _no_draws(size: int) -> tf.Tensor:
    """Return draws with one unused column: TensorFlow 2.21 crashes when it unbatches a tensor without columns."""
    return tf.zeros((size, 1))


def _random_crop(augmentation: Augmentation, shape: tuple[int, int, int]) -> CropWhileDecoding | None:
    """Return the random crop of the augmentation, or None. Raises RecipeError if the sizes of crop and batch differ."""
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
        read = readers.from_array(split, spec, shape, crop, handles)
        read_all = _map(chosen, lambda e, i, key, draws: with_label(e, i, key, read(i, draws)), tf.data.AUTOTUNE)
        return handles.close_with(read_all)
    if spec.cache == "none":
        content, read = readers.contents(split, handles), readers.from_files(split, spec, shape, crop)
        chosen = _map(chosen, lambda e, i, key, draws: (e, i, key, draws, *content(i)), tf.data.AUTOTUNE)

        def images(i, draws, *file):
            return read(*file, draws)

    else:
        images = readers.from_kept(split, spec, shape, crop, handles)
    single = chosen.unbatch()
    examples = _map(single, lambda e, i, key, *what: with_label(e, i, key, images(i, *what)), tf.data.AUTOTUNE)
    return handles.close_with(examples.batch(size, drop_remainder=True))


def _map(dataset: tf.data.Dataset, function: Callable, parallel: int | None = None) -> tf.data.Dataset:
    """Call `dataset.map` without autograph, which is not needed here and takes seconds."""
    return dataset.map(tf.autograph.experimental.do_not_convert(function), parallel)


def _finish(batches: tf.data.Dataset, threads: int | None) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    if threads is not None:
        options.threading.private_threadpool_size = threads
    # The batches are already sharded: TensorFlow must not shard them again.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)

"""`FeaturePipeline`: the data of a training on cached features instead of images."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.data import batching
from cnnrecipes.data.augmentation import Augmentation
from cnnrecipes.data.batch_sampler import training_examples
from cnnrecipes.data.images.releasable_functions import Handles
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.data.tf_data_defaults import mapped
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.transfer.feature_cache import Forward, features, settings_of_features


class FeaturePipeline(InputPipeline):
    """An InputPipeline whose batches are the outputs of a frozen part of a model for the same images in the same order.

    A training image is not augmented; with `transfer.views` = k, epoch e has its view e mod (k + 1), the first of which
    is the image itself.

    Args:
        pipeline: the images.
        frozen: part of a model: images (N, H, W, C), 0..255 -> features (N, ...), float.
        computed: features by split and view, to which those that are computed here are added; None: none so far.

    Attributes:
        of_images: the pipeline of the images.
    """

    def __init__(
        self,
        pipeline: InputPipeline,
        frozen: keras.Model | Forward,
        computed: dict[tuple[str, int | None], np.ndarray] | None = None,
    ):
        super().__init__(pipeline.source, pipeline.recipe, pipeline.unreadable, progress=pipeline.progress)
        self.of_images, self._forward = pipeline, frozen if isinstance(frozen, Forward) else Forward(frozen)
        self._features = {} if computed is None else computed

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of the features of one image."""
        return tuple(self._forward.model.output_shape[1:])

    @property
    def augmentation(self) -> Augmentation:
        """An augmentation without operations: images are augmented before their features are computed."""
        return Augmentation((), self.recipe.train.seed, self.statistics.mean)

    @property
    def views(self) -> Sequence[np.ndarray]:
        """The features (N, ...) of the training images themselves, and of their augmented views."""
        return [self.split_features("train", view) for view in (None, *range(self.recipe.transfer.views))]

    def split_features(self, split: str, view: int | None = None) -> np.ndarray:
        """Return the features (N, ...) of a split, computed at the first use.

        Args:
            split: name of the split.
            view: number of the augmented view of the images; None: the images without augmentation.
        """
        if (split, view) not in self._features:
            self._features[split, view] = features(self._forward, self.of_images, split, view)
        return self._features[split, view]

    def training_batches(self, first_step: int, last_step: int, shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """Return the training batches of the steps `first_step` to `last_step` (exclusive): features and labels."""
        examples = training_examples(
            self.train, self.recipe, len(self.class_names), first_step=first_step, last_step=last_step, shard=shard
        )
        views, handles = self.views, Handles()
        self.train.handles.add(handles)

        def look_up(epoch, index):
            return views[epoch[0] % len(views)][index].astype(np.float32)

        def with_features(epoch, index, labels):
            found = handles.numpy_function(look_up, [epoch, index], tf.float32)
            return tf.ensure_shape(found, (index.shape[0], *self.feature_shape)), labels

        return self._finished(examples, with_features, handles, last_step - first_step)

    def evaluation_batches(self, split: str, shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """Return all features of a split in order, with labels and weights; see `batching.evaluation_batches`."""
        data, size, (which, shards) = self.source.split(split), batching.EVALUATION_BATCH, shard
        steps, labels = batching.evaluation_steps(data, shards), tf.constant(data.labels)
        found, handles = self.split_features(split), Handles()
        data.handles.add(handles)

        def batch(step):
            place = (step * shards + which) * size + tf.range(size, dtype=tf.int64)
            index = tf.minimum(place, len(data) - 1)
            rows = handles.numpy_function(lambda i: found[i].astype(np.float32), [index], tf.float32)
            rows = tf.ensure_shape(rows, (size, *self.feature_shape))
            one_hot = tf.one_hot(tf.gather(labels, index), len(self.class_names))
            return rows, one_hot, tf.cast(place < len(data), tf.float32)

        return self._finished(tf.data.Dataset.range(steps), batch, handles, steps)

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the images of a training step, as they are for features, and their labels."""
        return self.of_images.batch(step)

    def check(self, devices: int = 1) -> None:
        """Raise RecipeError if the batch size does not divide among the devices."""
        batching.check_batches(self.train, self.recipe, self.augmentation, devices)

    def with_recipe(self, recipe: Recipe) -> FeaturePipeline:
        """Return a pipeline of the same images with another recipe, whose `data` table must be equal but for batches.

        Both have the features that either computes, unless the recipes give them other augmentation or another dtype.
        """
        same = settings_of_features(recipe) == settings_of_features(self.recipe)
        return FeaturePipeline(self.of_images.with_recipe(recipe), self._forward, self._features if same else None)

    def _finished(self, dataset: tf.data.Dataset, function, handles: Handles, steps: int) -> tf.data.Dataset:
        made = mapped(dataset, function, tf.data.AUTOTUNE)
        made = batching.finish(handles.close_with(made), None)
        return made.apply(tf.data.experimental.assert_cardinality(steps))

"""Features of images: the input of a classifier's last layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes._support.graphs import Graphs
from cnnrecipes._support.progress import watch
from cnnrecipes.data import batching
from cnnrecipes.data.sources.random_access_dataset import Split
from cnnrecipes.errors import DataError, ModelError
from cnnrecipes.explain.examined import BATCH, Examined
from cnnrecipes.models.graph import parameters, run
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.trained_model import Artifact


def features(subject: Run | Artifact | keras.Model, images: Any, *, progress: bool = False) -> np.ndarray:
    """Return the features of images: the input of the last layer with weights, in inference mode.

    Args:
        subject: the classifier; a Keras model takes images of its own size.
        images: a split of a data set; or images as for `grad_cam`.
        progress: show a progress bar for a large split.

    Returns:
        (N, D) float32; maps (N, H, W, D) before a convolutional last layer are averaged over their positions.

    Raises:
        ModelError: no layer has weights, or the model has no graph of layers.
        DataError: images that cannot be read or do not fit.
    """
    return FeatureModel(subject)(images, progress=progress)


class FeatureModel:
    """The part of a classifier before its last layer with weights, traced once for several calls; see `features`."""

    def __init__(self, subject: Run | Artifact | keras.Model):
        self.examined = Examined(subject)
        found = self.examined.calls
        last = next((call for call in reversed(found) if call.sources and parameters(call.layer)), None)
        if last is None:
            raise ModelError(f"{self.examined.model.name} has no layer with weights; give a classifier")
        self._calls, self._place = found, last.sources[0]
        self._forward = Graphs(self._features)

    def __call__(self, images: Any, *, progress: bool = False) -> np.ndarray:
        """Return the features (N, D) float32 of a split or of images; see `features`."""
        if isinstance(images, Split):
            steps = batching.evaluation_steps(images)
            what = f"computing features of {len(images):,} {images.name} images"
            return np.concatenate(list(watch(self._of_split(images), what, steps, progress)))
        fitted = self.examined.fitted(self.examined.read(images))
        return np.concatenate([self._of_batch(fitted[i : i + BATCH], BATCH) for i in range(0, len(fitted), BATCH)])

    def _of_split(self, split: Split) -> Iterator[np.ndarray]:
        if self.examined.spec is None:
            raise DataError("a keras.Model takes images of its own size; give arrays, or a run or an artifact")
        for images, _, weights in batching.arrays(split, self.examined.spec, self.examined.class_count):
            yield self._of_batch(images, len(images))[weights > 0]

    def _of_batch(self, images: np.ndarray, size: int) -> np.ndarray:
        """Return the features of at most `size` images, padded to `size`, so that one function is traced."""
        filled = np.pad(images, [(0, size - len(images)), (0, 0), (0, 0), (0, 0)])
        return self._forward(tf.constant(filled)).numpy()[: len(images)]

    def _features(self, images: tf.Tensor) -> tf.Tensor:
        values = run(self._calls, tf.cast(images, tf.float32))
        value = next(value for place, (_, value) in enumerate(values) if place == self._place)
        value = tf.cast(value, tf.float32)
        return tf.reduce_mean(value, (1, 2)) if len(value.shape) == 4 else value

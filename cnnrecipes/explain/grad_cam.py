"""Grad-CAM: the positions of the last convolutional map that raise the logit of a class (Selvaraju et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes._support.graphs import Graphs
from cnnrecipes.errors import UnknownNameError
from cnnrecipes.explain.examined import BATCH, Examined, last_map
from cnnrecipes.explain.image_geometry import in_images
from cnnrecipes.models.graph import run
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.trained_model import Artifact


def grad_cam(
    subject: Run | Artifact | keras.Model,
    images: Any,
    classes: int | str | Sequence[int | str] | None = None,
    *,
    layer: str | None = None,
) -> np.ndarray:
    """Return the Grad-CAM of images: where the evidence for a class is, 0..1; see `GradCam`.

    Args:
        subject: the classifier; a Keras model takes images of its own size, and returns logits.
        images: (N, H, W, C) in 0..255, or paths or a list, as for `predict`; all of one size.
        classes: class number or name to explain, or one for each image; None: the predicted class.
        layer: name of the layer with the map, "outer/inner" in a nested model; None: the last convolutional map.

    Returns:
        (N, H, W) float32, 0..1, at the size of the images; all 0 if nothing speaks for the class.

    Raises:
        ModelError: the model has no convolutional map, or no graph of layers.
        DataError: images that cannot be read or do not fit, or a class that does not exist.
        UnknownNameError: no such class or layer.
    """
    return GradCam(subject, layer)(images, classes)


class GradCam:
    """Grad-CAM of one classifier, traced once for several calls.

    With the maps A_k of a layer and the logit y_c of a class: relu(sum_k a_k A_k), where a_k is the mean of dy_c / dA_k
    over the positions (Selvaraju et al. 2017, equations 1 and 2), resized bilinearly, and divided by its maximum in
    each image. The layers of nested models are run one by one, so the map may be inside of a nested backbone. Only the
    layers after the map are differentiated.

    Args: as for `grad_cam`.
    """

    def __init__(self, subject: Run | Artifact | keras.Model, layer: str | None = None):
        self.examined = Examined(subject)
        self._calls = self.examined.calls
        self._place = self._find(layer)
        self._maps = Graphs(self._heat)

    @property
    def layer(self) -> str:
        """Name of the layer with the map."""
        return self._calls[self._place].name

    def __call__(self, images: Any, classes: int | str | Sequence[int | str] | None = None) -> np.ndarray:
        """Return the maps (N, H, W) of images; see `grad_cam`."""
        given = self.examined.read(images)
        maps = self.of_fitted(self.examined.fitted(given), self.examined.class_numbers(classes, len(given)))
        height, width = given.shape[1:3]
        return in_images(maps, (height, width), self.examined.spec)

    def of_fitted(self, images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Return maps (N, H, W) float32 of images (N, H, W, C) uint8 of the model's size.

        Args:
            images: the images.
            numbers: (N,) class numbers, -1 for the predicted class.
        """
        size = min(len(images), BATCH)
        maps = []
        for start in range(0, len(images), size):
            some, classes = images[start : start + size], numbers[start : start + size]
            missing = size - len(some)  # padded, so that the function is traced once
            filled = np.pad(some, [(0, missing), (0, 0), (0, 0), (0, 0)])
            found = self._maps(tf.constant(filled), tf.constant(np.pad(classes, (0, missing)), tf.int32))
            maps.append(found.numpy()[: len(some)])
        return np.concatenate(maps)

    def _heat(self, images: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """Return the maps of a batch, resized to its images."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for place, (_, value) in enumerate(run(self._calls, tf.cast(images, tf.float32))):
                if place == self._place:
                    maps = value
                    tape.watch(maps)
            chosen = tf.where(numbers < 0, tf.argmax(value, 1, tf.int32), numbers)
            score = tf.reduce_sum(tf.gather(value, chosen, batch_dims=1))
        slopes = tf.cast(tape.gradient(score, maps, unconnected_gradients="zero"), tf.float32)
        weights = tf.reduce_mean(slopes, (1, 2))
        heat = tf.nn.relu(tf.einsum("nhwc,nc->nhw", tf.cast(maps, tf.float32), weights))
        heat = tf.image.resize(heat[..., None], self.examined.size)[..., 0]
        return tf.math.divide_no_nan(heat, tf.reduce_max(heat, (1, 2), keepdims=True))

    def _find(self, layer: str | None) -> int:
        """Return the position of the call whose output is explained. Raises UnknownNameError, ModelError."""
        if layer is None:
            return last_map(self._calls, self.examined.model.name)
        maps = {call.name: place for place, call in enumerate(self._calls) if len(call.output_shape) == 4}
        if layer not in maps:
            raise UnknownNameError("layer with a map (N, H, W, C)", layer, maps)
        return maps[layer]

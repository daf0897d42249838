"""Losses of logits against one-hot or mixed labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.optim import methods

if TYPE_CHECKING:
    from cnnrecipes.recipe import schema


def loss(spec: schema.Train, weights: Sequence[float] | None = None) -> Loss:
    """The recipe's loss; weights: of the classes, None where all weigh alike."""
    return Loss(spec.loss, spec.label_smoothing, weights)


def class_weights(labels: np.ndarray, classes: int) -> list[float]:
    """n / (classes * n of the class): every class weighs the same in sum, and an image 1 on average.

    labels: (n,) integers, each class at least once. The same as scikit-learn's "balanced".
    """
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * counts)).tolist()


@keras.saving.register_keras_serializable(package="cnnrecipes")
class Loss(keras.losses.Loss):
    """A recipe's loss of labels (N, classes), one-hot or shares, and logits (N, classes), in float32 in any case.

    Args:
        method: as `train.loss` has it, "cross_entropy", "binary_cross_entropy(threshold=0.2)" or "focal(gamma=2.0)".
        label_smoothing: the share of each label that all classes have alike (Szegedy et al. 2015, section 7).
        weights: an example counts as its class does, a mixed one by its shares.
    """

    def __init__(
        self,
        method: str = "cross_entropy",
        label_smoothing: float = 0.0,
        weights: Sequence[float] | None = None,
        **options: Any,
    ):
        super().__init__(**{"name": "loss", "dtype": "float32", **options})
        self.method, self.label_smoothing = method, label_smoothing
        self.weights = list(weights) if weights is not None else None
        self._spec = methods.loss(method)

    def call(self, y_true, y_pred):
        labels, logits = tf.cast(y_true, tf.float32), tf.cast(y_pred, tf.float32)
        values = _OF[type(self._spec)](self._spec, self._smoothed(labels), logits)
        return values if self.weights is None else values * tf.linalg.matvec(labels, tf.constant(self.weights))

    def _smoothed(self, labels: tf.Tensor) -> tf.Tensor:
        if isinstance(self._spec, methods.BinaryCrossEntropy) and self._spec.threshold is not None:
            labels = tf.cast(labels > self._spec.threshold, tf.float32)
        if not self.label_smoothing:
            return labels
        return labels * (1 - self.label_smoothing) + self.label_smoothing / labels.shape[-1]

    def get_config(self):
        config = {key: value for key, value in super().get_config().items() if key in ("name", "reduction")}
        return {**config, "method": self.method, "label_smoothing": self.label_smoothing, "weights": self.weights}


def _cross_entropy(spec: methods.CrossEntropy, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax_cross_entropy_with_logits(labels, logits)


def _binary_cross_entropy(spec: methods.BinaryCrossEntropy, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Mean over the classes, as timm's BinaryCrossEntropy with its default reduction."""
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), axis=-1)


def _focal(spec: methods.Focal, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Lin et al. 2017, eq. 4, of the softmax: -sum(label * (1 - p)^gamma * log p)."""
    logs = tf.nn.log_softmax(logits)
    # 1 - p from log p, exact for p near 1; a power's gradient at 0 is infinite below gamma 1.
    rest = tf.maximum(-tf.math.expm1(logs), 1e-12)
    return -tf.reduce_sum(labels * tf.pow(rest, spec.gamma) * logs, axis=-1)


_OF = {
    methods.CrossEntropy: _cross_entropy,
    methods.BinaryCrossEntropy: _binary_cross_entropy,
    methods.Focal: _focal,
}

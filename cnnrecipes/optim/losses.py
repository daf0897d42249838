"""Loss functions of logits and one-hot or soft labels, with label smoothing and class weights."""

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
    """Return the loss of a recipe's `train` table; weights: one per class, None for equal weights."""
    return Loss(spec.loss, spec.label_smoothing, weights)


def class_weights(labels: np.ndarray, classes: int) -> list[float]:
    """Return balanced class weights n / (classes * n_class), as scikit-learn's "balanced"; their mean over images is 1.

    labels: (n,) integers, each class at least once.
    """
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * counts)).tolist()


@keras.saving.register_keras_serializable(package="cnnrecipes")
class Loss(keras.losses.Loss):
    """Loss of labels (N, classes), one-hot or soft, and logits (N, classes); always computed in float32.

    Args:
        method: value of `train.loss`: "cross_entropy", "binary_cross_entropy(threshold=0.2)" or "focal(gamma=2.0)".
        label_smoothing: share of each label that is spread uniformly over all classes (Szegedy et al. 2015, section 7).
        weights: class weights; an example with a soft label has their mean, weighted by the label.
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
    """Average over the classes, as timm's BinaryCrossEntropy with its default reduction."""
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), axis=-1)


def _focal(spec: methods.Focal, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Focal loss on the softmax, -sum(label * (1 - p)^gamma * log p) (Lin et al. 2017, eq. 4)."""
    logs = tf.nn.log_softmax(logits)
    # 1 - p from log p is accurate for p near 1; the lower bound keeps the gradient of the power finite for gamma < 1.
    rest = tf.maximum(-tf.math.expm1(logs), 1e-12)
    return -tf.reduce_sum(labels * tf.pow(rest, spec.gamma) * logs, axis=-1)


_OF = {
    methods.CrossEntropy: _cross_entropy,
    methods.BinaryCrossEntropy: _binary_cross_entropy,
    methods.Focal: _focal,
}

"""The loss of a recipe as a Keras loss: label smoothing and class weights around a loss of the registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.optim.loss_registry import LOSSES
from cnnrecipes.recipe import schema


def build_loss(train: schema.Train, weights: Sequence[float] | None = None) -> RecipeLoss:
    """Return the loss of a recipe's `train` table; weights: one per class, None for equal weights."""
    return RecipeLoss(train.loss, train.label_smoothing, weights)


def class_weights(labels: np.ndarray, classes: int) -> list[float]:
    """Return balanced class weights n / (classes * n_class), as scikit-learn's "balanced"; their mean over images is 1.

    labels: (n,) integers, each class at least once.
    """
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * counts)).tolist()


@keras.saving.register_keras_serializable(package="cnnrecipes", name="Loss")
class RecipeLoss(keras.losses.Loss):
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
        self._loss = LOSSES.parse(method)

    def call(self, y_true, y_pred):
        labels, logits = tf.cast(y_true, tf.float32), tf.cast(y_pred, tf.float32)
        values = self._loss.values(self._smoothed(self._loss.targets(labels)), logits)
        return values if self.weights is None else values * tf.linalg.matvec(labels, tf.constant(self.weights))

    def _smoothed(self, labels: tf.Tensor) -> tf.Tensor:
        if not self.label_smoothing:
            return labels
        return labels * (1 - self.label_smoothing) + self.label_smoothing / labels.shape[-1]

    def get_config(self):
        config = {key: value for key, value in super().get_config().items() if key in ("name", "reduction")}
        return {**config, "method": self.method, "label_smoothing": self.label_smoothing, "weights": self.weights}

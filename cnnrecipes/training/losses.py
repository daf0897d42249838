"""Losses of logits against one-hot or soft labels."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np


def class_weights(labels: np.ndarray, classes: int) -> list[float]:
    """n / (classes * n of the class): every class weighs the same in sum, and an image 1 on average.

    labels: (n,) integers, each class at least once. The same as scikit-learn's "balanced".
    """
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * counts)).tolist()


@keras.saving.register_keras_serializable(package="cnnrecipes")
class WeightedCrossEntropy(keras.losses.CategoricalCrossentropy):
    """Cross entropy of logits in which an example counts as its class does; a mixed one by its shares."""

    def __init__(self, weights: Sequence[float], label_smoothing: float = 0.0, **kwargs):
        super().__init__(from_logits=True, label_smoothing=label_smoothing, **kwargs)
        self.weights = list(weights)

    def call(self, y_true, y_pred):
        weight = keras.ops.sum(y_true * keras.ops.convert_to_tensor(self.weights, y_true.dtype), axis=-1)
        return super().call(y_true, y_pred) * keras.ops.cast(weight, y_pred.dtype)

    def get_config(self):
        config = super().get_config()
        return {**{key: config[key] for key in ("name", "reduction", "label_smoothing")}, "weights": self.weights}


def loss(spec, weights):
    return (
        WeightedCrossEntropy(weights, spec.label_smoothing)
        if weights
        else keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=spec.label_smoothing)
    )

"""Small models and losses for the tests of checks: a healthy network, and what breaks it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from cnnrecipes.optim.loss_registry import LOSSES, Loss

L = keras.layers
_DIGITS = load_digits()
IMAGES = (_DIGITS.images[..., None] * 255 / 16).astype(np.uint8)
LABELS = _DIGITS.target
SMALL = (IMAGES[:300], LABELS[:300])


def network(
    *,
    scale: Sequence[Callable[[], keras.layers.Layer]] = (lambda: L.Rescaling(1 / 127.5, -1),),
    norm: Callable[[], keras.layers.Layer] | None = L.BatchNormalization,
    middle: Callable | None = None,
    bias: float = 0.0,
    last: str | None = None,
    classes: int = 10,
) -> keras.Model:
    """Two convolutions and a linear layer on digits: images (N, 8, 8, 1), 0..255 -> logits (N, classes).

    Args:
        scale: layers on the images.
        norm: layer after each convolution.
        middle: function of the first feature maps.
        bias: initial bias of the convolutions.
        last: activation of the logits.
    """
    keras.utils.set_random_seed(0)
    x = images = keras.Input((8, 8, 1))
    for layer in scale:
        x = layer()(x)
    for number, width in enumerate((16, 32), start=1):
        start = {"kernel_initializer": "he_normal", "bias_initializer": keras.initializers.Constant(bias)}
        x = L.Conv2D(width, 3, strides=number, padding="same", name=f"conv{number}", **start)(x)
        if norm is not None:
            x = norm(name=f"norm{number}")(x)
        x = L.Activation("relu", name=f"relu{number}")(x)
        if middle is not None and number == 1:
            x = middle(x)
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(images, L.Dense(classes, activation=last, name="logits")(x))


def one_hot(labels: np.ndarray, classes: int = 10) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[labels]


class ClassNumber(Loss):
    """Squared error of the mean logit as an estimate of the class number: a loss of a regression."""

    def values(self, labels, logits):
        return tf.square(tf.reduce_mean(logits, -1) - tf.cast(tf.argmax(labels, -1), tf.float32))


class OfProbabilities(Loss):
    """Cross entropy of probabilities, to which logits are given."""

    def values(self, labels, logits):
        return keras.losses.categorical_crossentropy(labels, logits)


class WrongSign(Loss):
    """Cross entropy with the wrong sign."""

    def values(self, labels, logits):
        return -tf.nn.softmax_cross_entropy_with_logits(labels, logits)


class SquaredError(Loss):
    """Squared error of the logits against one-hot labels, which trains a classifier as well."""

    def values(self, labels, logits):
        return tf.reduce_mean(tf.square(logits - labels), -1)


def register_losses(monkeypatch) -> None:
    """Register the losses above for a test: "class_number", "of_probabilities", "wrong_sign", "squared_error"."""
    monkeypatch.setattr(LOSSES, "_classes", dict(LOSSES._classes))
    for name, kind in {
        "class_number": ClassNumber,
        "of_probabilities": OfProbabilities,
        "wrong_sign": WrongSign,
        "squared_error": SquaredError,
    }.items():
        LOSSES.register(name)(kind)

"""Checks of the loss: does its minimum predict the labels, and does the model give it logits?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.optimize import minimize

from cnnrecipes.debug.checks.check import FAIL, OK, WARNING, Check
from cnnrecipes.debug.checks.forward_backward_passes import LossFunction, logits_of
from cnnrecipes.errors import ModelError
from cnnrecipes.models.graph import calls

_NEGLIGIBLE = 1e-3  # a minimum below it, relative to the loss of uniform probabilities, is 0 that is not reached
_ITERATIONS = 100
_LABELS, _STARTS = 10, 3  # classes whose loss is minimized, each from several drawn logits
_BOUNDED = {"softmax": "probabilities", "sigmoid": "values in 0..1", "tanh": "values in -1..1", "relu": "values >= 0"}
# The initial loss exceeds that of equal probabilities by half the variance of the logits, about: 0.5 with He's weights.
_TOO_HIGH, _FAR_TOO_HIGH = 1.0, 4.0  # nats above it
_TOO_LOW = 0.7  # relative to it


@dataclass(frozen=True)
class LossRange:
    """The range of a loss for given labels.

    Attributes:
        floor: its lowest value over all logits, for example the entropy of smoothed labels; 0 if logits approach it.
        uniform: its value for equal logits, that is, equal probabilities: ln(classes) for the cross entropy.
        predicted: share of the labels that the logits of the lowest value predict, 0..1.
        has_gradient: True if the loss has a gradient.
    """

    floor: float
    uniform: float
    predicted: float
    has_gradient: bool = True


def loss_range(loss: LossFunction, labels: np.ndarray) -> LossRange:
    """Return the range of a loss, by minimizing it over the logits themselves (L-BFGS), without a model.

    Args:
        loss: labels (N, classes) and logits (N, classes) -> mean loss.
        labels: (N, classes), one-hot or soft.
    """
    labels = np.asarray(labels, np.float32)
    start = np.random.default_rng(0).normal(size=labels.shape)
    best, gradients = _minimum(loss, labels, start)
    uniform = float(loss(labels, tf.zeros(labels.shape)))
    floor = float(loss(labels, tf.constant(best, tf.float32)))
    if floor < _NEGLIGIBLE * abs(uniform):
        floor = min(floor, 0.0)
    predicted = np.mean(best.argmax(axis=1) == labels.argmax(axis=1))
    return LossRange(floor, uniform, float(predicted), gradients)


def check_loss(loss: LossFunction, classes: int) -> Check:
    """Check that the lowest value of a loss over all logits predicts the labels: else it is of another task."""
    return check_loss_range(loss_range(loss, np.tile(np.eye(classes, dtype=np.float32)[:_LABELS], (_STARTS, 1))))


def check_loss_range(found: LossRange) -> Check:
    """Check the range of a loss, as `check_loss` does."""
    name = "loss"
    if not found.has_gradient or found.predicted < 1:
        what = (
            f"its lowest value, {found.floor:.3g}, has logits that predict {found.predicted:.0%} of the labels"
            if found.has_gradient
            else "it has no gradient"
        )
        remedy = 'use a loss of one-hot labels and logits: train.loss = "cross_entropy"'
        return Check(name, FAIL, f"the loss is of another task: {what}", remedy)
    floor = f", cannot fall below {found.floor:.3f}" if found.floor > 0 else ""
    return Check(name, OK, f"{found.uniform:.3f} for equal probabilities{floor}; its minimum predicts the labels")


def check_logits(model: keras.Model, images: np.ndarray, loss: LossFunction) -> Check:
    """Check that a model ends in logits: the losses of recipes apply the softmax (or sigmoid) themselves.

    Args:
        model: images (N, H, W, C) -> outputs (N, classes).
        images: a few images.
        loss: the loss, for the lowest value that it can reach.
    """
    name, outputs = "logits", logits_of(model, images)
    last = _last_activation(model)
    sums = outputs.sum(axis=1)
    is_softmax = bool((outputs >= 0).all() and np.abs(sums - 1).max() < 1e-3)
    kind = "softmax" if is_softmax else last.rpartition(" ")[2]
    if kind not in _BOUNDED:
        return Check(name, OK, f"outputs from {outputs.min():.3g} to {outputs.max():.3g}, without an activation")
    layer = last.partition(" ")[0]
    where = f"the last layer {layer!r} has the activation {kind}" if layer else f"the outputs are {_BOUNDED[kind]}"
    classes = outputs.shape[1]
    high, low = (1.0, -1.0) if kind == "tanh" else (1.0, 0.0)
    remedy = f"remove the {kind} at the end of the model: the loss expects logits"
    if kind == "relu":
        return Check(name, WARNING, f"{where}: negative logits become 0, without a gradient", remedy)
    extreme = np.full((classes, classes), low, np.float32) + (high - low) * np.eye(classes, dtype=np.float32)
    floor = float(loss(np.eye(classes, dtype=np.float32), tf.constant(extreme)))
    return Check(
        name, FAIL, f"{where}, and the loss applies one again, so that it cannot fall below {floor:.3f}", remedy
    )


def check_initial_loss(
    model: keras.Model, loss: LossFunction, images: np.ndarray, labels: np.ndarray, *, fitted: bool = False
) -> Check:
    """Check that the loss before the first step is near that of equal probabilities: ln(classes) for cross entropy.

    Label smoothing, focal loss and class weights are in both values. Moving statistics of the model change.

    Args:
        model: images (N, H, W, C) -> logits (N, classes).
        loss: the loss of the training.
        images, labels: a batch; labels one-hot or soft (N, classes).
        fitted: the weights may be trained or fitted already, so that a lower loss is right.
    """
    name, uniform = "initial loss", float(loss(labels, tf.zeros(labels.shape)))
    first = float(loss(labels, model(tf.convert_to_tensor(images), training=True)))
    chance = f"{uniform:.3f} for equal probabilities of {labels.shape[1]} classes"
    measured = f"{first:.3f}, {chance}"
    if first > uniform + _TOO_HIGH:
        remedy = (
            "the first predictions are confident and wrong: initialize the last layer with smaller weights, and check "
            "the range of the inputs"
        )
        return Check(name, FAIL if first > uniform + _FAR_TOO_HIGH else WARNING, measured, remedy)
    if fitted:
        lower = "; the weights are not drawn" if first < _TOO_LOW * uniform else ""
        return Check(name, OK, f"{measured}{lower}")
    if first < _TOO_LOW * uniform:
        remedy = "too low for drawn weights: the labels may be in the images, or the weights are not drawn"
        return Check(name, WARNING, measured, remedy)
    return Check(name, OK, measured)


def _minimum(loss: LossFunction, labels: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return logits of the lowest loss, and False if the loss has no gradient."""
    gradients: list[np.ndarray] = []

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        logits = tf.constant(flat.reshape(start.shape), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            found = loss(labels, logits) * len(labels)
        gradient: Any = tape.gradient(found, logits)
        gradient = np.zeros(start.shape) if gradient is None else tf.convert_to_tensor(gradient).numpy()
        gradients.append(gradient)
        return float(found), np.nan_to_num(gradient).astype(np.float64).ravel()

    result = minimize(value, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS})
    return result.x.reshape(start.shape), bool(np.abs(gradients[0]).max() > 0)


def _last_activation(model: keras.Model) -> str:
    """Return "layer activation" of the last layer of a model; "" if it has none, or the model has no graph."""
    try:
        layer = calls(model)[-1].layer
    except ModelError:
        return ""
    name = (
        "softmax"
        if isinstance(layer, keras.layers.Softmax)
        else getattr(getattr(layer, "activation", None), "__name__", "")
    )
    name = "relu" if isinstance(layer, keras.layers.ReLU) else name
    return f"{layer.name} {name}" if name and name != "linear" else ""

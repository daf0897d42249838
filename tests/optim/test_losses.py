"""Losses against their formulas in NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnrecipes.keras_optim.recipe_loss import RecipeLoss, build_loss
from cnnrecipes.recipe import schema

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(0, 3, (16, 5))
ONE_HOT = np.eye(5)[RANDOM.integers(0, 5, 16)]
MIXED = 0.7 * ONE_HOT + 0.3 * np.eye(5)[RANDOM.integers(0, 5, 16)]
WEIGHTS = [0.5, 1.0, 2.0, 1.5, 0.25]


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def reference(method, labels, smoothing):
    """Reference values, (N,)."""
    p, sigmoid = softmax(LOGITS), 1 / (1 + np.exp(-LOGITS))
    if "0.2" in method:
        labels = (labels > 0.2).astype(float)
    labels = labels * (1 - smoothing) + smoothing / 5
    if method.startswith("binary"):
        return -(labels * np.log(sigmoid) + (1 - labels) * np.log(1 - sigmoid)).mean(axis=1)
    gamma = {"cross_entropy": 0, "focal": 2, "focal(gamma=0.5)": 0.5}[method]
    return -(labels * (1 - p) ** gamma * np.log(p)).sum(axis=1)


@pytest.mark.parametrize(
    "method", ["cross_entropy", "binary_cross_entropy", "binary_cross_entropy(0.2)", "focal", "focal(gamma=0.5)"]
)
@pytest.mark.parametrize("labels", [ONE_HOT, MIXED], ids=["one-hot", "mixed"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
def test_loss_matches_its_formula(method, labels, smoothing, weights):
    made = build_loss(schema.Train(epochs=1, loss=method, label_smoothing=smoothing), weights)
    expected = reference(method, labels, smoothing) * (labels @ weights if weights else 1)
    assert float(made(labels, LOGITS)) == pytest.approx(expected.mean(), rel=1e-5)


def test_focal_loss_matches_the_example_of_its_paper():
    """Lin et al. 2017, section 3: with gamma 2 an example of p = 0.9 counts 100 times less than in cross entropy."""
    logits = np.log([[0.9, 0.1]])
    focal, plain = (float(RecipeLoss(name)([[1.0, 0.0]], logits)) for name in ("focal", "cross_entropy"))
    assert plain / focal == pytest.approx(100, rel=1e-4)


@pytest.mark.parametrize("method", ["cross_entropy", "binary_cross_entropy", "focal", "focal(0.5)"])
def test_large_logits_give_finite_values_and_gradients(method):
    logits = tf.Variable([[100.0, -100.0, 0.0], [-100.0, 100.0, 0.0]])
    with tf.GradientTape() as tape:
        value = RecipeLoss(method, 0.1)([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], logits)
    gradient = tape.gradient(value, logits)
    assert np.isfinite(float(value))
    assert np.isfinite(gradient.numpy()).all()


def test_half_precision_logits_are_computed_in_float32():
    found = RecipeLoss()(ONE_HOT, tf.cast(LOGITS, tf.bfloat16))
    assert found.dtype == tf.float32
    rounded = tf.cast(tf.cast(LOGITS, tf.bfloat16), tf.float32)
    assert float(found) == float(RecipeLoss()(ONE_HOT, rounded))


def test_loss_survives_serialization():
    made = RecipeLoss("focal(gamma=1.5)", 0.1, WEIGHTS)
    again = keras.losses.deserialize(keras.losses.serialize(made))
    assert float(again(MIXED, LOGITS)) == float(made(MIXED, LOGITS))

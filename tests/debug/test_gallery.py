"""A gallery of broken trainings, each of which `overfit` explains, and of healthy ones, which never fail."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from broken_models import IMAGES, LABELS, SMALL, network, register_losses

import cnnrecipes as cr
from cnnrecipes.errors import DataError

L = keras.layers
RANDOM = np.random.default_rng(0)
# Digits at 16 x 16, colored: each image in a color of its own.
COLORED = (
    (np.repeat(np.kron(SMALL[0], np.ones((1, 2, 2, 1))), 3, axis=3) * RANDOM.uniform(0.3, 1, (300, 1, 1, 3))).astype(
        np.uint8
    ),
    SMALL[1],
)


def mostly_frozen():
    """A network of which only the biases of the last layer are trained, by way of a scale and shift."""
    model = network(norm=None)
    for name in ("conv1", "conv2", "logits"):
        model.get_layer(name).trainable = False
    shift = L.EinsumDense("bc,c->bc", (10,), bias_axes="c", name="scale")
    return keras.Model(model.input, shift(model.output))


BROKEN_MODELS = {
    "softmax twice": (lambda: network(last="softmax"), "logits", "'logits' has the activation softmax"),
    "sigmoid twice": (lambda: network(last="sigmoid"), "logits", "the activation sigmoid"),
    "scaled twice": (
        lambda: network(norm=None, scale=(lambda: L.Rescaling(1 / 255), lambda: L.Rescaling(1 / 255))),
        "inputs",
        "standard deviation 0.0015",
    ),
    "not scaled": (lambda: network(norm=None, scale=()), "inputs", "mean 78 and standard deviation 97"),
    "frozen": (mostly_frozen, "frozen layers", "conv1, conv2, logits"),
    "stopped gradient": (lambda: network(middle=L.Lambda(tf.stop_gradient)), "gradients", "leads to conv1, norm1"),
    "dead relu": (lambda: network(norm=None, bias=-100.0), "dead activations", "relu1, relu2"),
    "momentum of 1": (
        lambda: network(norm=lambda name: L.BatchNormalization(momentum=1.0, name=name)),
        "normalization",
        "norm1, norm2: the moving statistics do not change",
    ),
    "epsilon of 1e4": (
        lambda: network(norm=lambda name: L.BatchNormalization(epsilon=1e4, name=name)),
        "normalization",
        "norm1, norm2: epsilon is larger",
    ),
}


@pytest.mark.parametrize("name", BROKEN_MODELS)
def test_broken_model_fails_with_its_cause(name):
    build, cause, words = BROKEN_MODELS[name]
    result = cr.overfit("resnet8_digits", SMALL, model=build())
    fails_with(result, cause, words)


BROKEN_RECIPES = {
    "rate too low": ({"optimizer.learning_rate": 1e-7}, "learning rate", "1e-07 is too low"),
    "rate explodes": ({"optimizer.learning_rate": 1e4}, "learning rate", "the loss explodes in step"),
    "regression": ({"train.loss": "class_number"}, "loss", "of another task"),
    "of probabilities": ({"train.loss": "of_probabilities"}, "loss", "of another task"),
    "wrong sign": ({"train.loss": "wrong_sign"}, "loss", "of another task"),
}


@pytest.mark.parametrize("name", BROKEN_RECIPES)
def test_broken_recipe_fails_with_its_cause(name, monkeypatch):
    register_losses(monkeypatch)
    changes, cause, words = BROKEN_RECIPES[name]
    result = cr.overfit("resnet8_digits", SMALL, model=network(), **changes)
    fails_with(result, cause, words)


BROKEN_LABELS = {
    "shuffled": (RANDOM.permutation(LABELS), "look shuffled"),
    "shifted": (np.roll(LABELS, 1), "shifted by one position"),
}


@pytest.mark.parametrize("name", BROKEN_LABELS)
def test_wrong_labels_fail_although_they_are_memorized(name):
    labels, words = BROKEN_LABELS[name]
    data = {"train": (IMAGES[:1400], labels[:1400]), "validation": (IMAGES[1400:], LABELS[1400:])}
    result = cr.overfit("resnet8_digits", data, model=network())
    assert result.memorized
    fails_with(result, "labels fit images", words)


def test_constant_labels_raise():
    with pytest.raises(DataError, match="a classifier needs at least two classes"):
        cr.overfit("resnet8_digits", (SMALL[0], np.zeros(300, int)))


def fails_with(result, cause, words):
    assert not result.passed
    assert result.causes[0].name == cause, str(result)
    assert words in str(result)
    assert str(result).startswith("FAIL: ")
    assert "\n" not in str(result)


TINY = {"model.name": "resnet8", "data.image_size": 8}
HEALTHY = {
    "digits": ("resnet8_digits", SMALL, {}),
    "fashion, group norm, AdamW": (
        "resnet20_fashion",
        SMALL,
        {**TINY, "model.norm": "group", "optimizer.name": "adamw", "optimizer.learning_rate": 3e-3},
    ),
    "no norm": ("resnet8_digits", SMALL, {"model.norm": "none"}),
    "layer norm, gelu": ("resnet8_digits", SMALL, {"model.norm": "layer", "model.activation": "gelu"}),
    "low rate": ("resnet8_digits", SMALL, {"optimizer.learning_rate": 1e-3}),
    "all regularization": (
        "resnet20_cifar",
        COLORED,
        {
            **TINY,
            "augment.ops": ["flip_lr", "mixup(0.2)"],
            "train.label_smoothing": 0.1,
            "optimizer.ema": 0.99,
            "model.stochastic_depth": 0.2,
            "model.dropout": 0.3,
            "data.balance": "class_weights",
        },
    ),
    "vgg": (
        "vgg16_cifar",
        COLORED,
        {"model.name": "vgg11", "model.widths": (16, 16, 32, 32, 32), "data.image_size": 32},
    ),
    "wide residual net with dropout": (
        "resnet20_cifar",
        COLORED,
        {
            "model.name": "wrn16_4",
            "model.depths": (1, 1, 1),
            "model.widths": (16, 32, 64),
            "model.block_dropout": 0.3,
            "data.image_size": 16,
        },
    ),
    "fast net, focal loss": (
        "resnet20_cifar",
        COLORED,
        {"model.name": "fast_cnn", "model.widths": (16, 32, 64), "data.image_size": 16, "train.loss": "focal"},
    ),
    "resnet18, one block a stage": (
        "resnet18_cifar",
        COLORED,
        {"model.depths": (1, 1, 1, 1), "model.widths": (8, 16, 16, 32), "data.image_size": 16},
    ),
    "from scratch": ("photos_from_scratch", COLORED, TINY),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_training_passes(name):
    recipe, data, changes = HEALTHY[name]
    result = cr.overfit(recipe, data, **changes)
    assert result.passed, str(result)
    assert str(result).startswith("PASS: 20 images of 10 classes memorized")

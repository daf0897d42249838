"""Checks of gradients and of frozen layers."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from broken_models import IMAGES, LABELS, network, one_hot

import cnnrecipes as cr
from cnnrecipes.debug.checks.gradient_flow import check_frozen, check_gradients
from cnnrecipes.keras_optim.recipe_loss import RecipeLoss

INPUTS, TARGETS = IMAGES[:16], one_hot(LABELS[:16])


def gradients(model):
    return check_gradients(model, RecipeLoss(), INPUTS, TARGETS)


def test_residual_net_whose_branches_start_at_zero_is_ok_and_is_restored():
    model = cr.build("resnet8", input_shape=(8, 8, 1), classes=10, zero_init_residual=True)
    before = [variable.numpy() for variable in model.variables]
    assert gradients(model).status == "ok"
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, model.variables, strict=True))


def test_layers_before_a_stopped_gradient_are_named():
    check = gradients(network(middle=keras.layers.Lambda(tf.stop_gradient)))
    assert check.status == "FAIL"
    assert "conv1, norm1" in check.measured
    assert "conv2" not in check.measured


def test_layers_before_dead_activations_are_named():
    check = gradients(network(norm=None, bias=-100.0))
    assert check.status == "FAIL"
    assert "exactly 0 in conv1, conv2" in check.measured


def test_gradient_that_is_zero_in_float16_alone_is_no_fault():
    images = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))
    x = keras.layers.Dense(16, "relu", dtype="mixed_float16", name="first")(x)
    model = keras.Model(images, keras.layers.Dense(10, dtype="mixed_float16", name="logits")(x))

    def small(labels, logits):
        return RecipeLoss()(labels, logits) * 1e-8  # its gradients are below the smallest number of float16

    assert check_gradients(model, small, INPUTS, TARGETS).status == "ok"
    model.get_layer("first").bias.assign(np.full(16, -100.0))
    assert "exactly 0 in first" in check_gradients(model, small, INPUTS, TARGETS).measured


def test_vanishing_gradient_is_a_warning():
    images = x = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(x))
    for number in range(14):
        x = keras.layers.Dense(16, activation="sigmoid", name=f"dense{number}")(x)
    check = gradients(keras.Model(images, keras.layers.Dense(10)(x)))
    assert check.status == "warning"
    assert "vanishing" in check.remedy


def test_frozen_layers_are_named_and_all_frozen_fails():
    model = network()
    assert check_frozen(model).measured == "none"
    assert "head alone is trained" in check_frozen(model, head_alone=True).measured
    model.get_layer("conv1").trainable = False
    assert check_frozen(model).status == "warning"
    assert "conv1" in check_frozen(model).measured
    assert check_frozen(model, planned=True).status == "ok"
    model.trainable = False
    assert check_frozen(model).status == "FAIL"
    assert gradients(model).status == "cannot tell"

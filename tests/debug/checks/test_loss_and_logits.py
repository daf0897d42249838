"""Checks of the loss: its range over all logits, the value before the first step, and logits at the end of a model."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from broken_models import IMAGES, LABELS, ClassNumber, OfProbabilities, SquaredError, WrongSign, network, one_hot

from cnnrecipes.debug.checks.loss_and_logits import check_initial_loss, check_logits, check_loss, loss_range
from cnnrecipes.keras_optim.recipe_loss import RecipeLoss

TARGETS = one_hot(LABELS[:20])


@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy", "focal(gamma=2.0)"])
def test_losses_of_recipes_reach_zero_and_predict_the_labels(name):
    found = loss_range(RecipeLoss(name), TARGETS)
    assert found.floor == 0
    assert found.predicted == 1


def test_uniform_loss_is_the_logarithm_of_the_classes():
    assert loss_range(RecipeLoss(), TARGETS).uniform == pytest.approx(math.log(10), abs=1e-5)
    focal = math.log(10) * 0.9**2  # Lin et al. 2017, eq. 4, with p = 1 / 10
    assert loss_range(RecipeLoss("focal(gamma=2.0)"), TARGETS).uniform == pytest.approx(focal, abs=1e-5)
    assert loss_range(RecipeLoss("binary_cross_entropy"), TARGETS).uniform == pytest.approx(math.log(2), abs=1e-5)


def test_floor_of_smoothed_labels_is_their_entropy():
    smooth = TARGETS * 0.9 + 0.01
    entropy = -(smooth * np.log(smooth)).sum(axis=1).mean()
    assert loss_range(RecipeLoss(label_smoothing=0.1), TARGETS).floor == pytest.approx(entropy, abs=1e-4)


@pytest.mark.parametrize("loss", [ClassNumber(), OfProbabilities(), WrongSign()], ids=lambda one: type(one).__name__)
def test_loss_of_another_task_fails(loss):
    check = check_loss(mean_of(loss), 10)
    assert check.status == "FAIL"
    assert "another task" in check.measured


@pytest.mark.parametrize(
    "loss", [RecipeLoss(), RecipeLoss("focal(gamma=2.0)", 0.1), RecipeLoss("binary_cross_entropy"), SquaredError()]
)
def test_loss_of_a_classifier_is_ok(loss):
    assert check_loss(loss if isinstance(loss, RecipeLoss) else mean_of(loss), 10).status == "ok"


def test_loss_without_a_gradient_fails():
    check = check_loss(lambda labels, logits: keras.ops.sum(keras.ops.cast(logits > 0, "float32")), 10)
    assert check.status == "FAIL"
    assert "no gradient" in check.measured


@pytest.mark.parametrize(("last", "floor"), [("softmax", math.log(math.e + 9) - 1), ("tanh", None)])
def test_activation_before_the_loss_fails_with_the_floor(last, floor):
    check = check_logits(network(last=last), IMAGES[:8], RecipeLoss())
    assert check.status == "FAIL"
    assert f"'logits' has the activation {last}" in check.measured
    assert floor is None or f"{floor:.3f}" in check.measured


def test_softmax_function_in_a_model_without_a_last_layer_is_found_by_its_outputs():
    plain = network()
    model = keras.Model(plain.input, keras.ops.softmax(plain.output * 2.0))
    assert check_logits(model, IMAGES[:8], RecipeLoss()).status == "FAIL"


def test_relu_on_logits_is_a_warning_and_logits_are_ok():
    assert check_logits(network(last="relu"), IMAGES[:8], RecipeLoss()).status == "warning"
    assert check_logits(network(), IMAGES[:8], RecipeLoss()).status == "ok"


def test_confident_initial_predictions_fail():
    model = network()
    assert check_initial_loss(model, RecipeLoss(), IMAGES[:20], TARGETS).status == "ok"
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([kernel * 50, bias])
    check = check_initial_loss(model, RecipeLoss(), IMAGES[:20], TARGETS)
    assert check.status == "FAIL"
    assert "2.303 for equal probabilities" in check.measured


def test_initial_loss_far_below_chance_is_a_warning_unless_the_weights_are_fitted():
    model = network()
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([kernel * 0, bias + 5 * np.eye(10)[LABELS[0]]])
    images, labels = np.repeat(IMAGES[:1], 4, axis=0), TARGETS[:1].repeat(4, axis=0)
    assert check_initial_loss(model, RecipeLoss(), images, labels).status == "warning"
    assert check_initial_loss(model, RecipeLoss(), images, labels, fitted=True).status == "ok"


def mean_of(loss):
    return lambda labels, logits: keras.ops.mean(loss.values(labels, logits))

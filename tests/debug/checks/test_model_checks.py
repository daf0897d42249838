"""Checks of a model: norms, dead activations, inputs, outputs, and requirements of an experiment."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from broken_models import IMAGES, LABELS, network, one_hot

import cnnrecipes as cr
from cnnrecipes.debug.checks.dead_activations import check_dead_activations
from cnnrecipes.debug.checks.inputs import check_augmentation, check_inputs
from cnnrecipes.debug.checks.model_preconditions import require_finite, require_model, require_shapes
from cnnrecipes.debug.checks.norms import check_norms
from cnnrecipes.debug.checks.output_dependence import check_independent_samples, check_output_depends_on_input
from cnnrecipes.errors import ModelError, TrainingError
from cnnrecipes.keras_optim.recipe_loss import RecipeLoss

L = keras.layers
FEW, TARGETS = IMAGES[:20], one_hot(LABELS[:20])


def norms(**options):
    return check_norms(network(norm=lambda name: L.BatchNormalization(name=name, **options)), FEW)


@pytest.mark.parametrize("kind", ["batch", "layer", "instance", "group", "channel", "none"])
def test_norms_of_recipes_normalize(kind):
    model = cr.build("resnet8", input_shape=(8, 8, 1), classes=10, norm=kind, mean=[78.0], std=[96.0])
    before = [variable.numpy() for variable in model.variables]
    assert check_norms(model, FEW).status == "ok"
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, model.variables, strict=True))


@pytest.mark.parametrize(
    ("options", "status", "what"),
    [
        ({"momentum": 1.0}, "FAIL", "moving statistics do not change"),
        ({"epsilon": 1e4}, "FAIL", "epsilon is larger"),
        ({"axis": 1}, "warning", "rows or columns"),
        ({"momentum": 0.99}, "ok", "2 layers normalize"),
        ({"gamma_initializer": "zeros"}, "ok", "normalize"),
    ],
)
def test_broken_batch_norm_is_named(options, status, what):
    check = norms(**options)
    assert check.status == status
    assert what in check.measured


def test_frozen_batch_norm_with_other_statistics_is_a_warning():
    model = network(scale=())
    for number in (1, 2):
        model.get_layer(f"norm{number}").trainable = False
    assert check_norms(model, FEW).status == "warning"
    assert check_norms(model, FEW, pretrained=True).status == "ok"


def test_dead_activations_are_named():
    assert check_dead_activations(network(), FEW).status == "ok"
    check = check_dead_activations(network(norm=None, bias=-100.0), FEW)
    assert check.status == "FAIL"
    assert "relu1, relu2" in check.measured


@pytest.mark.parametrize(
    ("scale", "status"),
    [
        ((lambda: L.Rescaling(1 / 127.5, -1),), "ok"),
        ((lambda: L.Rescaling(1 / 255),), "ok"),
        ((), "warning"),
        ((lambda: L.Rescaling(1 / 255), lambda: L.Rescaling(1 / 255)), "FAIL"),
    ],
)
def test_range_of_inputs(scale, status):
    check = check_inputs(network(scale=scale), IMAGES[:64])
    assert check.status == status
    assert "mean" in check.measured


def test_inputs_standardized_by_statistics_of_other_images_fail():
    model = cr.build("resnet8", input_shape=(8, 8, 1), classes=10, mean=[0.3], std=[0.4])
    assert check_inputs(model, IMAGES[:64], "train").status == "FAIL"


@pytest.mark.parametrize(
    ("images", "labels", "status"),
    [
        (FEW, TARGETS, "ok"),
        (FEW.astype(np.float32) * 2, TARGETS, "FAIL"),
        (FEW, TARGETS * 2, "FAIL"),
        (np.zeros_like(FEW), TARGETS, "warning"),
    ],
)
def test_range_of_augmentation(images, labels, status):
    assert check_augmentation(images, labels, FEW).status == status


def test_constant_output_fails_and_a_head_of_zeros_does_not():
    model = network()
    model.get_layer("logits").set_weights([w * 0 for w in model.get_layer("logits").get_weights()])
    assert check_output_depends_on_input(model, FEW, RecipeLoss(), TARGETS).status == "ok"
    dead = network(norm=None, bias=-100.0)
    assert check_output_depends_on_input(dead, FEW, RecipeLoss(), TARGETS).status == "FAIL"


def test_leak_between_samples_fails_and_batch_norm_is_excepted():
    batch_norm = check_independent_samples(network(), FEW)
    assert batch_norm.status == "ok"
    assert "batch norm mixes" in batch_norm.measured
    assert check_independent_samples(network(norm=L.LayerNormalization), FEW).measured.endswith("training mode")
    mixing = network(middle=L.Lambda(lambda x: x - tf.reduce_mean(x, axis=0)))
    check = check_independent_samples(mixing, FEW)
    assert check.status == "FAIL"
    assert "at inference" in check.measured
    with_dropout = network(norm=None, middle=L.Dropout(0.5))
    assert check_independent_samples(with_dropout, FEW).status == "ok"


@pytest.mark.parametrize(
    ("middle", "message"),
    [
        (L.Lambda(lambda x: tf.math.log(x - 1), name="log"), r"first layer with NaN outputs is 'log' \(Lambda"),
        (L.Lambda(lambda x: x / 0.0, name="div"), "first layer with NaN outputs is 'div'"),
        (L.Lambda(tf.sqrt, name="root"), "the gradient of the first step is NaN or infinite, from the layer 'norm1'"),
    ],
)
def test_nan_before_the_first_step_names_the_layer(middle, message):
    with pytest.raises(TrainingError, match=message):
        require_finite(network(middle=middle), RecipeLoss(), FEW, TARGETS)


def test_nan_in_a_weight_is_named():
    model = network()
    kernel, bias = model.get_layer("conv2").get_weights()
    model.get_layer("conv2").set_weights([kernel * np.nan, bias])
    with pytest.raises(TrainingError, match="the weight conv2/kernel has values"):
        require_finite(model, RecipeLoss(), FEW, TARGETS)


def test_shapes_that_do_not_fit_raise():
    with pytest.raises(ModelError, match=r"returns outputs \(None, 7\), the data has 10 classes"):
        require_shapes(network(classes=7), (8, 8, 1), 10)
    with pytest.raises(ModelError, match=r"takes images \(8, 8, 1\), the data has \(8, 8, 3\)"):
        require_shapes(network(), (8, 8, 3), 10)
    with pytest.raises(ModelError, match="has no input and output shapes"):
        require_model(keras.Sequential([L.Dense(10)]))
    two = keras.Input((8, 8, 1))
    with pytest.raises(ModelError, match="several inputs or outputs"):
        require_model(keras.Model(two, [two, two]))

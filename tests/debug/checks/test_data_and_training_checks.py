"""Checks of class folders and copies, of the first step, and of the prediction."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from adaptation import write_photos
from broken_models import IMAGES, LABELS, SMALL, network, one_hot

from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.debug import training_parts
from cnnrecipes.debug.checks.label_consistency import check_class_sizes, check_copies, check_folder_labels
from cnnrecipes.debug.checks.loss_decrease import check_update
from cnnrecipes.debug.checks.training_serving_skew import check_prediction
from cnnrecipes.debug.examined_training import opened_subject
from cnnrecipes.keras_optim.recipe_loss import RecipeLoss
from cnnrecipes.recipe import catalog

FEW, TARGETS = IMAGES[:20], one_hot(LABELS[:20])


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), train=24, validation=9)


def test_labels_of_class_folders_agree_and_another_order_fails(photos):
    with InputPipeline.open(catalog.load("resnet20_cifar"), str(photos)) as pipeline:
        assert check_folder_labels(pipeline.source).status == "ok"
        wrong = replace(pipeline.source, class_names=("b", "c", "a"))
        check = check_folder_labels(wrong)
    assert check.status == "FAIL"
    assert "33 of 33 files have another label" in check.measured
    assert "0000.png' is labeled 'b'" in check.measured


def test_folders_above_the_data_are_no_classes(tmp_path):
    folder = write_photos(tmp_path / "a" / "photos", train=9, validation=3)
    with InputPipeline.open(catalog.load("resnet20_cifar"), str(folder)) as pipeline:
        assert "all 12 files" in check_folder_labels(pipeline.source).measured
        wrong = replace(pipeline.source, class_names=("b", "c", "a"))
        assert "12 of 12 files have another label" in check_folder_labels(wrong).measured
        unknown = replace(pipeline.source, class_names=("photos", "x", "y"))
        assert check_folder_labels(unknown).status == "cannot tell"


def test_labels_of_arrays_have_no_folders():
    with InputPipeline.open(catalog.load("resnet8_digits"), SMALL) as pipeline:
        assert check_folder_labels(pipeline.source).status == "cannot tell"


def test_class_sizes():
    assert check_class_sizes(LABELS, "0123456789").status == "ok"
    assert check_class_sizes(np.zeros(50, int), "ab").status == "FAIL"
    assert check_class_sizes((np.arange(50) == 0).astype(int), "ab").status == "warning"


def test_copies_with_different_labels_fail():
    assert check_copies(FEW, LABELS[:20], "0123456789").status == "ok"
    twice = np.concatenate([FEW, FEW[:1]]), np.append(LABELS[:20], (LABELS[0] + 1) % 10)
    check = check_copies(*twice, "0123456789")
    assert check.status == "FAIL"
    assert "2 of 21 images" in check.measured


def update(rate, model=None, peak=None):
    model = model or network(norm=None)
    kept = model.get_weights()
    check = check_update(model, RecipeLoss(), keras.optimizers.SGD, rate, FEW, TARGETS, peak=peak)
    assert all(np.array_equal(a, b) for a, b in zip(kept, model.get_weights(), strict=True))
    return check


def test_step_lowers_the_loss_of_its_batch_unless_the_rate_is_too_high():
    assert update(0.01).status == "ok"
    check = update(20.0)
    assert check.status == "warning"
    assert "rises at the recipe's first rate, 20" in check.remedy


def test_gradient_of_the_wrong_sign_fails():
    @keras.ops.custom_gradient
    def reversed_gradient(x):
        return x, lambda upstream: -upstream

    model = network(norm=None)
    turned = keras.Model(model.input, keras.layers.Lambda(reversed_gradient)(model.output))
    for rate in (0.01, 1e-12):
        assert update(rate, turned).status == "FAIL"


def test_rate_that_does_not_move_the_loss_is_too_low_and_the_gradient_is_not_blamed():
    check = update(1e-9)
    assert check.status == "warning"
    assert "the rate is too low to move the loss" in check.measured
    assert check.remedy == "raise optimizer.learning_rate"
    assert update(1e-9, peak=0.1).status == "ok"


def test_model_at_its_minimum_has_nothing_to_lower():
    """Equal images of two classes, half and half: the lowest loss is ln 2, at the drawn weights of 0."""
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2, name="logits")])
    model.get_layer("logits").kernel.assign(np.zeros((64, 2)))
    images, labels = np.ones((20, 8, 8, 1), np.float32), one_hot(np.arange(20) % 2, 2)
    assert model.get_layer("logits").bias.numpy().tolist() == [0, 0]
    labels[0] = (1 - 1e-5, 1e-5)  # the gradient is not exactly 0
    for optimizer in (keras.optimizers.SGD, keras.optimizers.Adam):
        for rate in (1e-6, 1e-3, 1.0):
            check = check_update(model, RecipeLoss(), optimizer, rate, images, labels)
            assert check.status == "ok", (optimizer, rate, check)
            assert "nothing to lower: the loss of the batch, 0.6931, is at a minimum" in check.measured


def test_memorized_batch_has_nothing_to_lower():
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(10, use_bias=False)])
    model.layers[0].kernel.assign(20 * np.eye(10))
    labels = one_hot(np.arange(10))
    for optimizer in (keras.optimizers.SGD, keras.optimizers.Adam):
        check = check_update(model, RecipeLoss(), optimizer, 1e-3, labels, labels)
        assert check.status == "ok"
        assert "nothing to lower: the loss of the batch is " in check.measured


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_first_step_in_half_precision_has_the_size_of_its_rate(precision):
    with opened_subject("resnet8_digits", SMALL, changes={"train.precision": precision}) as job:
        check = check_update(job.model.inner, job.model.loss, training_parts.optimizers(job), 0.01, FEW, TARGETS)
    assert check.status == "ok"
    assert check.measured.endswith("with the rate 0.01")


def test_evaluation_equals_prediction_on_arrays_and_files(photos):
    changes = {"model.name": "resnet8", "data.image_size": 16, "data.batch_size": 8}
    for recipe, data in (("resnet8_digits", SMALL), ("photos_from_scratch", str(photos))):
        with opened_subject(recipe, data, changes=changes if recipe != "resnet8_digits" else {}) as job:
            assert check_prediction(job, job.artifact(job.model.measured_weights())).status == "ok"


def test_layer_that_acts_otherwise_in_prediction_fails():
    class Counting(keras.layers.Layer):
        """Depends on how often it was called."""

        calls = 0

        def call(self, inputs):
            Counting.calls += 1
            return inputs * (Counting.calls % 3)

    with opened_subject("resnet8_digits", SMALL, model=network(middle=Counting())) as job:
        check = check_prediction(job, job.artifact(job.model.measured_weights()))
    assert check.status == "FAIL"

"""Parameters, multiply-adds and activation memory, against published figures and manual counts."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.models.cost import COUNTS, cost


def one(layer, shape=(8, 6, 4)):
    """The row of a model of one layer."""
    images = keras.Input(shape)
    return cost(keras.Model(images, layer(images))).iloc[-1]


# torchvision's table for ResNet and MobileNetV2 (in G); VGG-16 as fvcore counts configuration D.
PUBLISHED = {
    "resnet50": (4.09, lambda: cr.build("resnet50", input_shape=(224, 224, 3), classes=1000)),
    "resnet18": (1.81, lambda: cr.build("resnet18", input_shape=(224, 224, 3), classes=1000)),
    "VGG16": (15.47, lambda: keras.applications.VGG16(weights=None)),
    "MobileNetV2": (0.30, lambda: keras.applications.MobileNetV2(weights=None)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_multiply_adds_and_parameters_match_published_values(name):
    giga, make = PUBLISHED[name]
    model = make()
    totals = cost(model).attrs
    assert round(totals["multiply_adds"] / 1e9, 2) == giga
    assert totals["parameters"] == sum(math.prod(weight.shape) for weight in model.trainable_weights)


def test_frozen_layers_are_counted_without_moving_statistics():
    model = cr.build("resnet18", input_shape=(224, 224, 3), classes=1000)
    model.trainable = False
    assert cost(model).attrs["parameters"] == 11_689_512  # torchvision


# Manual counts: one output pixel of 8x6 needs kernel x inputs multiply-adds.
BY_HAND = {
    "conv": (keras.layers.Conv2D(5, 3, padding="same"), 8 * 6 * 3 * 3 * 4 * 5),
    "grouped": (keras.layers.Conv2D(6, 3, padding="same", groups=2), 8 * 6 * 3 * 3 * 2 * 6),
    "dilated": (keras.layers.Conv2D(5, 3, dilation_rate=2), 4 * 2 * 3 * 3 * 4 * 5),
    "strided": (keras.layers.Conv2D(5, (3, 1), strides=2, padding="same"), 4 * 3 * 3 * 1 * 4 * 5),
    "depthwise": (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), 6 * 4 * 3 * 3 * 8),
    "separable": (keras.layers.SeparableConv2D(5, 3), 6 * 4 * (3 * 3 * 4 + 4 * 5)),
    "transposed": (keras.layers.Conv2DTranspose(5, 3, strides=2), 8 * 6 * 3 * 3 * 4 * 5),
    "dense": (keras.layers.Dense(5), 8 * 6 * 4 * 5),
    "norm": (keras.layers.BatchNormalization(), 0),
    "pooling": (keras.layers.MaxPooling2D(2), 0),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_multiply_adds_match_manual_counts(name):
    layer, expected = BY_HAND[name]
    assert one(layer)["multiply_adds"] == expected


def test_channels_first_has_the_same_cost():
    first = one(keras.layers.Conv2D(5, 3, data_format="channels_first"), (4, 8, 6))
    assert first["multiply_adds"] == one(keras.layers.Conv2D(5, 3))["multiply_adds"]


def test_activation_bytes_depend_on_the_compute_dtype():
    conv = keras.layers.Conv2D(5, 3, padding="same", dtype="mixed_bfloat16")
    assert one(conv)["activation_bytes"] == 8 * 6 * 5 * 2
    assert one(keras.layers.ReLU())["activation_bytes"] == 8 * 6 * 4 * 4


def test_shared_layer_is_computed_per_call_and_stored_once():
    images = keras.Input((8, 8, 1))
    conv = keras.layers.Conv2D(1, 3, padding="same", name="conv")
    table = cost(keras.Model(images, conv(conv(images)))).query("layer == 'conv'")
    assert list(table["parameters"]) == [10, 0]
    assert list(table["multiply_adds"]) == [8 * 8 * 9] * 2


def test_nested_model_has_the_cost_of_the_model_alone():
    inner = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), include_top=False)
    outer = keras.Sequential([keras.Input((32, 32, 3)), inner, keras.layers.Flatten()])
    assert cost(outer).attrs["multiply_adds"] == cost(inner).attrs["multiply_adds"]
    assert cost(outer).attrs["parameters"] == cost(inner).attrs["parameters"] == 2_223_872  # torchvision, no head


@pytest.mark.parametrize(
    "make",
    [
        lambda: cr.build("resnet20", input_shape=(32, 32, 3), classes=10),
        lambda: keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3)),
    ],
)
def test_stages_sum_to_the_total(make):
    model = make()
    stages = cost(model, by="stage")
    for name in COUNTS:
        total = cost(model).attrs[name]
        assert stages[name].drop("total").sum() == stages.loc["total", name] == stages.attrs[name] == total


def test_stages_are_grouped_by_name_or_else_by_size():
    ours = cost(cr.build("resnet20", input_shape=(32, 32, 3), classes=10), by="stage")
    assert list(ours.index) == ["images", "stem", "stage1", "stage2", "stage3", "pool", "logits", "total"]
    assert ours.loc["stage2", "output_shape"] == (None, 16, 16, 32)
    # Six 3x3 convolutions of 32 channels at 16x16; the first has 16 input channels.
    assert ours.loc["stage2", "multiply_adds"] == 16 * 16 * 9 * (16 * 32 + 5 * 32 * 32)
    theirs = cost(keras.applications.MobileNetV2(weights=None, input_shape=(64, 64, 3)), by="stage")
    assert list(theirs.index) == ["input", "32x32", "16x16", "8x8", "4x4", "2x2", "head", "total"]


def test_unknown_sizes_and_groupings_are_refused():
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3, name="first")])
    with pytest.raises(cr.ModelError, match=r"\(None, None, None, 3\); build the model with a fixed input shape"):
        cost(model)
    with pytest.raises(cr.UnknownNameError, match="'stages' .did you mean stage"):
        cost(cr.build("resnet8", input_shape=(8, 8, 1), classes=3), by="stages")


def test_uncounted_layers_are_reported():
    images = keras.Input((4, 4, 8))
    model = keras.Model(images, keras.layers.MultiHeadAttention(2, 4, name="attention")(images, images))
    with pytest.warns(UserWarning, match="multiply-adds of attention are not counted"):
        table = cost(model)
    assert np.sum(table["parameters"]) == model.count_params()

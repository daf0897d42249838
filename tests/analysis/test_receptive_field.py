"""Theoretical receptive fields against the published table of Araujo et al. 2019 and against gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.analysis.effective_field import effective_receptive_field
from cnnrecipes.analysis.receptive_field import receptive_field

L = keras.layers


def alexnet():
    """The convolutions of "alexnet_v2" (Krizhevsky 2014)."""
    layers = [L.Conv2D(2, 11, 4), L.MaxPooling2D(3, 2), L.Conv2D(2, 5, padding="same"), L.MaxPooling2D(3, 2)]
    layers += [L.Conv2D(2, 3, padding="same") for _ in range(3)] + [L.MaxPooling2D(3, 2)]
    return keras.Sequential([keras.Input((224, 224, 3)), *layers])


def application(name):
    return getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(224, 224, 3))


# The table of Araujo et al. 2019, also in the README of github.com/google-research/receptive_field.
PUBLISHED = {
    "ResNet50": 483,
    "ResNet101": 1027,
    "VGG16": 212,
    "MobileNet": 315,
    "InceptionV3": 1311,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_field_size_matches_published_values(name):
    last = receptive_field(application(name)).iloc[-1]
    assert last["size"] == (PUBLISHED[name],) * 2
    assert last["stride"] == (32, 32)


def test_field_center_matches_the_published_value():
    model = keras.applications.InceptionResNetV2(weights=None, include_top=False, input_shape=(299, 299, 3))
    last = receptive_field(model).iloc[-1]
    assert (last["size"], last["center"]) == ((3039, 3039), (37, 37))


def test_alexnet_matches_the_published_size():
    assert receptive_field(alexnet()).iloc[-1]["size"] == (195, 195)


def test_stride_in_the_3x3_convolution_sees_less_than_in_the_1x1():
    # 7 + 4 from the stem, 3x3s at strides 4 | 4, 8.. | 8, 16.. | 16, 32..: 11 + 24 + 56 + 176 + 160.
    ours = cr.build("resnet50", input_shape=(224, 224, 3), classes=10)
    table = receptive_field(ours).set_index("layer")
    assert table.loc["stage4_block3_out", "size"] == (427, 427)
    assert table.loc["pool", "size"] == table.loc["logits", "size"] == (224, 224)
    assert table.loc["pool", "stride"] == (0, 0)


def chain(*layers, shape=(23, 20, 2)):
    return keras.Sequential([keras.Input(shape), *layers])


def branches():
    """Two strided branches and a shortcut that slices every second pixel, joined twice."""
    x = images = keras.Input((24, 21, 2))
    wide = L.Conv2D(3, 5, 2, padding="same")(x)
    narrow = L.Conv2D(3, 3, 2, padding="same")(x)
    x = L.Concatenate()([wide, L.Add()([narrow, L.AveragePooling2D(1, 2, padding="same")(L.Conv2D(3, 1)(x))])])
    return keras.Model(images, L.Conv2D(2, 3, padding="same")(x))


GEOMETRIES = {
    "valid": lambda: chain(L.Conv2D(2, 3), L.Conv2D(2, (5, 2))),
    "same, odd and even": lambda: chain(L.Conv2D(2, 3, 2, padding="same"), L.Conv2D(2, 4, 2, padding="same")),
    "dilated": lambda: chain(L.Conv2D(2, 3, padding="same"), L.Conv2D(2, (1, 3), dilation_rate=(1, 2), padding="same")),
    "depthwise": lambda: chain(L.DepthwiseConv2D(3, 2, padding="same"), L.SeparableConv2D(3, 3)),
    "padded": lambda: chain(L.ZeroPadding2D(((2, 0), (1, 3))), L.Conv2D(2, 3, 2), L.Conv2D(2, 3)),
    "cropped": lambda: chain(L.Cropping2D(((3, 1), (2, 0))), L.Conv2D(2, 3, 2)),
    "pooled": lambda: chain(L.AveragePooling2D(2), L.AveragePooling2D(3, 2, padding="same"), L.Conv2D(2, 1)),
    "branches": branches,
    "a resnet": lambda: keras.Model(
        (net := cr.build("resnet8", input_shape=(24, 24, 1), classes=3, zero_init_residual=False)).input,
        net.get_layer("stage2_block1_out").output,
    ),
    "nested": lambda: chain(branches(), L.Conv2D(2, 3), shape=(24, 21, 2)),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_gradient_is_nonzero_exactly_in_the_theoretical_field(name):
    model = GEOMETRIES[name]()
    # With positive weights and inputs no ReLU is inactive and nothing cancels: every pixel of the field has a gradient.
    for weight in model.trainable_weights:
        weight.assign(np.full(weight.shape, 0.1))
    table = receptive_field(model)
    last = table.iloc[-1]
    field = effective_receptive_field(model, last["layer"])
    rows, columns = np.nonzero(field)
    for seen, axis in ((rows, 0), (columns, 1)):
        unit = (last["output_shape"][axis + 1] - 1) // 2
        center = unit * last["stride"][axis] + last["center"][axis]
        reach = (last["size"][axis] - 1) / 2
        assert seen.min() == max(center - reach, 0)
        assert seen.max() == min(center + reach, field.shape[axis] - 1)


def test_squeeze_and_excitation_sees_the_whole_image():
    x = images = keras.Input((16, 12, 3))
    gate = L.Dense(3, "sigmoid")(L.GlobalAveragePooling2D(keepdims=True)(x))
    table = receptive_field(keras.Model(images, L.Conv2D(2, 3)(L.Multiply(name="gated")([x, gate])))).set_index("layer")
    assert table.loc["gated", "size"] == (16, 12)
    assert table["size"].iloc[-1] == (16, 12)


def test_unsupported_layers_and_inputs_are_refused():
    with pytest.raises(cr.ModelError, match=r"'up' \(UpSampling2D\) maps \(None, 8, 8, 3\) to \(None, 16, 16, 3\)"):
        receptive_field(chain(L.UpSampling2D(name="up"), shape=(8, 8, 3)))
    with pytest.raises(cr.ModelError, match="fixed input shape"):
        receptive_field(chain(L.Conv2D(2, 3), shape=(None, None, 3)))
    with pytest.raises(cr.ModelError, match="one input of images"):
        receptive_field(chain(L.Dense(2), shape=(5,)))

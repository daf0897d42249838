"""A model as a list of its layer calls: complete, in order, and executable."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.models.graph import calls, run


def residual():
    return cr.build("resnet8", input_shape=(8, 8, 1), classes=3)


def nested():
    inner = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 1), include_top=False)
    layers = [keras.layers.Rescaling(1 / 255), inner, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((32, 32, 1)), *layers])


def shared():
    images = keras.Input((8, 8, 1))
    conv = keras.layers.Conv2D(1, 3, padding="same", name="conv")
    return keras.Model(images, keras.layers.Add(name="add")([conv(conv(images)), images]))


@pytest.mark.parametrize("make", [residual, nested, shared])
@pytest.mark.parametrize("training", [False, True])
def test_running_the_calls_gives_the_model_output(make, training):
    model = make()
    images = np.random.default_rng(0).uniform(0, 255, (4, *model.input_shape[1:])).astype("float32")
    values = [value for _, value in run(calls(model), images, training=training)]
    np.testing.assert_array_equal(values[-1], model(images, training=training))


def test_nested_models_are_expanded_and_shared_layers_repeated():
    names = [call.name for call in calls(nested())]
    assert "mobilenetv2_1.00_32/Conv1" in names
    assert "mobilenetv2_1.00_32" not in names
    assert [call.name for call in calls(shared())].count("conv") == 2


def test_call_has_sources_shapes_and_stage():
    found = calls(residual())
    add = next(call for call in found if call.name == "stage2_block1_add")
    assert add.stage == "stage2"
    assert {found[place].name for place in add.sources} == {"stage2_block1_norm2", "stage2_block1_shortcut_channels"}
    assert add.input_shapes == ((None, 4, 4, 32),) * 2
    assert add.output_shape == (None, 4, 4, 32)


class Subclassed(keras.Model):
    def call(self, images):
        return images


@pytest.mark.parametrize("model", [Subclassed(), keras.Sequential([keras.layers.Dense(3)]), "resnet8"])
def test_model_without_a_graph_is_refused(model):
    with pytest.raises(cr.ModelError, match=r"no graph of layers|expected a keras\.Model, got str"):
        calls(model)

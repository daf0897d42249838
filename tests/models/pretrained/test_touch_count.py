"""A new backbone of keras.applications is one row."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.models import Backbone, register, registry
from cnnrecipes.models.pretrained import keras_applications_rows
from cnnrecipes.models.pretrained.keras_applications_rows import ROWS, row


@pytest.fixture(autouse=True)
def _restored_registry():
    known = dict(registry._ROWS)
    yield
    registry._ROWS.clear()
    registry._ROWS.update(known)


def test_one_row_adds_a_backbone_to_build_and_table():
    found = row(
        "nobody",
        "MobileNet",
        "tf",
        ("conv_pw_1_relu", "conv_pw_5_relu"),
        top1=70.4,
        parameters="4.3",
        options={"alpha": 0.25},
    )
    register("quarter_mobilenet", found)
    model = cr.build("quarter_mobilenet", input_shape=(32, 32, 3), classes=2)
    assert [(stage.name, stage.stride) for stage in Backbone.of(model).stages] == [("stage1", 8), ("stage2", 32)]
    assert model(np.zeros((1, 32, 32, 3), np.uint8)).shape == (1, 2)
    assert cr.models.model_table().set_index("model").loc["quarter_mobilenet"].top1 == 70.4


def test_a_layer_that_keras_does_not_have_is_named_with_the_row():
    application = dataclasses.replace(ROWS["mobilenet"].application, ends=("no_such_layer",))
    register("wrong", dataclasses.replace(ROWS["mobilenet"], application=application))
    with pytest.raises(cr.RegistrationError, match=r"MobileNet of Keras .* has no layer 'no_such_layer'.*rows.py"):
        cr.build("wrong", input_shape=(32, 32, 3), classes=2)


def test_unknown_contract_is_refused():
    register(
        "wrong",
        keras_applications_rows.row(
            "nobody", "MobileNet", "tensorflow", ("conv_pw_1_relu",), top1=70.4, parameters="4.3"
        ),
    )
    with pytest.raises(cr.UnknownNameError, match="preprocessing contract 'tensorflow'.*tf"):
        cr.build("wrong", input_shape=(32, 32, 3), classes=2)

"""Grouping of layers into stages, by name and by size."""

from __future__ import annotations

import keras
import pytest

from cnnrecipes.models.graph import calls
from cnnrecipes.models.stage_grouping import stages

L = keras.layers


def chain(*layers):
    return calls(keras.Sequential([keras.Input((16, 16, 1), name="image"), *layers]))


def test_layers_are_grouped_by_name_if_names_are_consecutive():
    found = chain(L.Conv2D(1, 1, name="a_conv"), L.ReLU(name="a_relu"), L.Conv2D(1, 1, name="b_conv"))
    assert stages(found) == ["image", "a", "a", "b"]


@pytest.mark.parametrize("names", [("a_1", "b_1", "a_2"), ("a", "b", "c")])
def test_scattered_or_single_layer_names_are_grouped_by_size(names):
    assert stages(chain(*(L.Conv2D(1, 1, name=name) for name in names))) == ["input"] + ["16x16"] * 3


def test_padding_and_squeeze_layers_belong_to_the_stage_of_their_neighbors():
    x = images = keras.Input((16, 16, 2))
    x = L.Conv2D(2, 3, 2)(L.ZeroPadding2D(1)(x))
    x = L.Multiply()([x, L.Dense(2)(L.GlobalAveragePooling2D(keepdims=True)(x))])
    found = calls(keras.Model(images, L.Dense(3)(L.GlobalAveragePooling2D()(x))))
    assert stages(found) == ["input", "8x8", "8x8", "8x8", "8x8", "8x8", "head", "head"]

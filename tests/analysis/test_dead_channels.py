"""Detection of dead channels: true positives in constructed models, none in the shipped ones."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes import layers
from cnnrecipes.analysis import dead_channels, inspect
from cnnrecipes.layers.shortcuts import SHORTCUTS

L = keras.layers


def noise(model: keras.Model, count: int = 4) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, *model.input_shape[1:])).astype("float32")


def padded(last_gamma: str, activation: str = "relu") -> keras.Model:
    """A stem of 4 channels, and two residual blocks of 8: a strided one with shortcut A, and another."""
    images = keras.Input((8, 8, 3))
    factories = layers.LayerFactories(activation=layers.activation(activation))
    block = functools.partial(layers.residual_block, factories=factories, shortcut=SHORTCUTS["A"])
    first, second = (layers.Branch(layers.basic_convs(8, stride), last_gamma) for stride in (2, 1))
    x = layers.conv_norm_act(images, 4, factories=factories, name="stem")
    x = block(block(x, first, name="block1"), second, name="block2")
    return keras.Model(images, L.Dense(3, name="logits")(L.GlobalAveragePooling2D()(x)))


def test_zero_gamma_beside_padded_channels_is_detected():
    model = padded("zeros")
    found = dead_channels(model, noise(model)).set_index("layer")
    assert list(found.index) == ["block1_norm2", "block2_norm2"]
    assert list(found["dead"]) == [4, 4]
    assert list(found["channels"]) == [8, 8]
    assert "start at 0, and block1_out (relu) lets no gradient through" in found.loc["block1_norm2", "reason"]
    assert 'gamma at "ones"' in found.loc["block1_norm2", "remedy"]


@pytest.mark.parametrize("activation", ["gelu", "silu", "leaky_relu"])
def test_activations_with_a_gradient_at_zero_have_no_dead_channels(activation):
    model = padded("zeros", activation)
    assert dead_channels(model, noise(model)).empty


def test_negative_bias_with_a_zero_kernel_before_a_relu_is_dead():
    images = keras.Input((4, 4, 1))
    conv = L.Conv2D(3, 1, activation="relu", name="conv")
    model = keras.Model(images, L.Dense(2)(L.GlobalAveragePooling2D()(conv(images))))
    conv.set_weights([np.reshape([0.0, 1.0, -1.0], (1, 1, 1, 3)), np.array([-1.0, 0.0, 0.0])])
    found = dead_channels(model, noise(model))
    assert found[["layer", "dead", "channels"]].values.tolist() == [["conv", 1, 3]]


def test_consecutive_zero_factors_are_detected():
    images = keras.Input((4, 4, 2))
    first, second = (L.BatchNormalization(gamma_initializer="zeros", name=name) for name in "ab")
    scale = layers.scale_channels(first(images), "zeros", name="scale")
    model = keras.Model(images, L.Dense(2)(L.GlobalAveragePooling2D()(L.Activation("relu")(second(scale)))))
    assert "a" in set(dead_channels(model, noise(model))["layer"])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"zero_init_residual": True},
        {"norm": "none"},
        {"norm": "group"},
        {"squeeze_excite": 4},
        {"variant": "v2", "norm": "none"},
        {"variant": "d"},
        {"shortcut": "B"},
        {"branch_scale": "skipinit"},
    ],
    ids=str,
)
def test_default_model_and_variants_have_no_dead_channels(options):
    keras.utils.set_random_seed(0)
    model = cr.build("resnet8", input_shape=(8, 8, 3), classes=3, **options)
    before = model.get_weights()
    assert dead_channels(model, noise(model)).empty
    for weight, again in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, again)


def test_inspect_warns_of_dead_channels(tmp_path):
    with pytest.warns(UserWarning, match=r"block1_norm2: 4 of 8 channels are dead: .*relu.*gamma at \"ones\""):
        found = inspect(padded("zeros"), tmp_path)
    assert list(found.dead["dead"]) == [4, 4]

"""Blocks beyond a plain shape and the identity (test_factories.py)."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest

from cnnrecipes import layers
from cnnrecipes.layers.shortcuts import averaging_shortcut, no_shortcut, pad_shortcut, projection_shortcut

BLOCKS = [layers.basic_block, layers.bottleneck_block]


def images(*shape: int) -> np.ndarray:
    return np.abs(np.random.default_rng(0).normal(1, 2, shape)).astype("float32")


def parts(kind: str = "batch", activation: str = "relu") -> dict:
    return {"conv": layers.conv2d, "norm": layers.norm(kind, 2), "activation": layers.activation(activation)}


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("kind", ["batch", "layer", "instance", "group", "channel"])
@pytest.mark.parametrize("shape", [(6, 6, 8), (7, 5, 8)])
def test_a_block_starts_as_a_shortcut_that_carries_every_channel(block, kind, shape):
    x, inputs = images(2, *shape), keras.Input(shape)
    model = keras.Model(inputs, block(inputs, 8, stride=2, shortcut=pad_shortcut, name="b", **parts(kind)))
    np.testing.assert_array_equal(model(x, training=True), x[:, ::2, ::2])


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("shortcut", [pad_shortcut, averaging_shortcut(pad_shortcut)])
def test_a_channel_that_the_shortcut_leaves_empty_starts_with_a_branch(block, shortcut):
    """A zero gamma there would be 0 for good: zero in front of a ReLU has no gradient."""
    x, inputs = images(2, 6, 6, 8), keras.Input((6, 6, 8))
    model = keras.Model(inputs, block(inputs, 16, stride=2, shortcut=shortcut, name="b", **parts()))
    assert np.all(np.abs(model(x, training=True)).max((0, 1, 2)) > 0)


def test_a_shortcut_of_ones_own_that_does_not_say_what_it_carries_is_not_trusted():
    def own(x, width, *, stride, conv, norm, name):
        return x

    inputs = keras.Input((6, 6, 8))
    gammas = []
    for shortcut in (own, functools.partial(own), pad_shortcut, no_shortcut, projection_shortcut):
        block = layers.basic_block(inputs, 8, shortcut=shortcut, name="b", **parts())
        gammas.append(keras.Model(inputs, block).get_layer("b_norm2").gamma.numpy().max())
    assert gammas == [1, 1, 0, 1, 0]


@pytest.mark.parametrize("block", BLOCKS)
def test_with_gamma_of_ones_a_block_is_more_than_its_shortcut(block):
    x, inputs = images(2, 6, 6, 8), keras.Input((6, 6, 8))
    model = keras.Model(inputs, block(inputs, 8, shortcut=pad_shortcut, last_gamma="ones", name="b", **parts()))
    assert np.abs(model(x, training=True) - x).mean() > 0.1


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("shortcut", [pad_shortcut, projection_shortcut])
@pytest.mark.parametrize("shape", [(9, 6, 8), (1, 1, 8), (7, 7, 8)])
def test_both_ways_of_a_striding_block_meet_at_every_size(block, shortcut, shape):
    inputs = keras.Input(shape)
    outputs = block(inputs, 16, stride=2, shortcut=shortcut, name="b", **parts())
    assert outputs.shape == (None, -(-shape[0] // 2), -(-shape[1] // 2), 16)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_without_a_shortcut_adds_nothing(block):
    inputs = keras.Input((4, 4, 8))
    model = keras.Model(inputs, block(inputs, 8, shortcut=no_shortcut, name="b", **parts()))
    assert model.output_shape == (None, 4, 4, 8)
    assert not any(isinstance(layer, keras.layers.Add) for layer in model.layers)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_layer_bears_the_blocks_name(block):
    inputs = keras.Input((4, 4, 8))
    model = keras.Model(inputs, block(inputs, 16, stride=2, shortcut=projection_shortcut, name="b", **parts()))
    assert all(layer.name.startswith("b_") for layer in model.layers[1:])


@pytest.mark.parametrize("shape", [(6, 6, 3), (7, 5, 3)])
def test_the_parameter_free_shortcut_is_saved_in_layers_of_keras(tmp_path, shape):
    x, inputs = images(2, *shape), keras.Input(shape)
    model = keras.Model(inputs, pad_shortcut(inputs, 8, stride=2, conv=None, norm=None, name="s"))
    model.save(tmp_path / "s.keras")
    again = keras.saving.load_model(tmp_path / "s.keras")
    np.testing.assert_array_equal(again(x), np.pad(x[:, ::2, ::2], [(0, 0)] * 3 + [(2, 3)]))
    assert {type(layer).__module__.split(".")[0] for layer in again.layers} == {"keras"}


def test_a_vgg_stage_is_its_convolutions_and_a_pooling():
    x, inputs = images(2, 8, 6, 3), keras.Input((8, 6, 3))
    stage = functools.partial(layers.vgg_stage, pool=layers.max_pool, **parts("none", "tanh"))
    model = keras.Model(inputs, stage(inputs, 4, 2, name="s"))
    y = x
    for kernel in model.get_weights():
        y = np.tanh(keras.ops.conv(y, kernel, padding="same"))
    pooled = y.reshape(2, 4, 2, 3, 2, 4).max((2, 4))
    np.testing.assert_allclose(model(x), pooled, atol=1e-5)

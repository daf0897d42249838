"""Residual blocks: initialization, shapes, order of layers, shortcuts and custom branches."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest

from cnnrecipes import layers
from cnnrecipes.layers.shortcuts import averaging_shortcut, no_shortcut, pad_shortcut, projection_shortcut

BLOCKS = [layers.basic_convs, layers.bottleneck_convs]


def images(*shape: int) -> np.ndarray:
    return np.abs(np.random.default_rng(0).normal(1, 2, shape)).astype("float32")


def factories(kind: str = "batch", activation: str = "relu") -> layers.LayerFactories:
    return layers.LayerFactories(norm=layers.norm(kind, 2), activation=layers.activation(activation))


def residual(convs, x, width: int, stride: int = 1, *, kind: str = "batch", last_gamma: str | None = None, **order):
    branch = layers.Branch(convs(width, stride), last_gamma)
    return layers.residual_block(x, branch, factories=factories(kind), name="b", **order)


@pytest.mark.parametrize("convs", BLOCKS)
@pytest.mark.parametrize("kind", ["batch", "layer", "instance", "group", "channel"])
@pytest.mark.parametrize("shape", [(6, 6, 8), (7, 5, 8)])
def test_block_starts_as_its_shortcut(convs, kind, shape):
    x, inputs = images(2, *shape), keras.Input(shape)
    model = keras.Model(inputs, residual(convs, inputs, 8, 2, shortcut=pad_shortcut, kind=kind))
    np.testing.assert_array_equal(model(x, training=True), x[:, ::2, ::2])


@pytest.mark.parametrize("convs", BLOCKS)
@pytest.mark.parametrize("shortcut", [pad_shortcut, averaging_shortcut(pad_shortcut)])
def test_channels_padded_by_the_shortcut_start_with_the_branch(convs, shortcut):
    """A zero gamma there would stay 0 forever: a zero before a ReLU has no gradient."""
    x, inputs = images(2, 6, 6, 8), keras.Input((6, 6, 8))
    model = keras.Model(inputs, residual(convs, inputs, 16, 2, shortcut=shortcut))
    assert np.all(np.abs(model(x, training=True)).max((0, 1, 2)) > 0)


def test_custom_shortcut_does_not_zero_initialize_the_last_gamma():
    def own(x, width, *, stride, conv, norm, name):
        return x

    inputs = keras.Input((6, 6, 8))
    gammas = []
    for shortcut in (own, functools.partial(own), pad_shortcut, no_shortcut, projection_shortcut):
        block = residual(layers.basic_convs, inputs, 8, shortcut=shortcut)
        gammas.append(keras.Model(inputs, block).get_layer("b_norm2").gamma.numpy().max())
    assert gammas == [1, 1, 0, 1, 0]


@pytest.mark.parametrize("convs", BLOCKS)
def test_last_gamma_of_ones_adds_the_branch_at_initialization(convs):
    x, inputs = images(2, 6, 6, 8), keras.Input((6, 6, 8))
    model = keras.Model(inputs, residual(convs, inputs, 8, shortcut=pad_shortcut, last_gamma="ones"))
    assert np.abs(model(x, training=True) - x).mean() > 0.1


@pytest.mark.parametrize("convs", BLOCKS)
@pytest.mark.parametrize("shortcut", [pad_shortcut, projection_shortcut])
@pytest.mark.parametrize("shape", [(9, 6, 8), (1, 1, 8), (7, 7, 8)])
def test_strided_branch_and_shortcut_have_equal_shapes(convs, shortcut, shape):
    inputs = keras.Input(shape)
    outputs = residual(convs, inputs, 16, 2, shortcut=shortcut)
    assert outputs.shape == (None, -(-shape[0] // 2), -(-shape[1] // 2), 16)


@pytest.mark.parametrize("convs", BLOCKS)
def test_block_without_a_shortcut_adds_nothing(convs):
    inputs = keras.Input((4, 4, 8))
    model = keras.Model(inputs, residual(convs, inputs, 8, shortcut=no_shortcut))
    assert model.output_shape == (None, 4, 4, 8)
    assert not any(isinstance(layer, keras.layers.Add) for layer in model.layers)


@pytest.mark.parametrize("convs", BLOCKS)
def test_layer_names_start_with_the_name_of_the_block(convs):
    inputs = keras.Input((4, 4, 8))
    model = keras.Model(inputs, residual(convs, inputs, 16, 2, shortcut=projection_shortcut))
    assert all(layer.name.startswith("b_") for layer in model.layers[1:])


@pytest.mark.parametrize("shape", [(6, 6, 3), (7, 5, 3)])
def test_parameter_free_shortcut_is_saved_with_keras_layers_only(tmp_path, shape):
    x, inputs = images(2, *shape), keras.Input(shape)
    model = keras.Model(inputs, pad_shortcut(inputs, 8, stride=2, conv=None, norm=None, name="s"))
    model.save(tmp_path / "s.keras")
    again = keras.saving.load_model(tmp_path / "s.keras")
    np.testing.assert_array_equal(again(x), np.pad(x[:, ::2, ::2], [(0, 0)] * 3 + [(2, 3)]))
    assert {type(layer).__module__.split(".")[0] for layer in again.layers} == {"keras"}


def test_vgg_stage_matches_its_convolutions_and_pooling():
    x, inputs = images(2, 8, 6, 3), keras.Input((8, 6, 3))
    model = keras.Model(inputs, layers.vgg_stage(inputs, 4, 2, factories=factories("none", "tanh"), name="s"))
    y = x
    for kernel in model.get_weights():
        y = np.tanh(keras.ops.conv(y, kernel, padding="same"))
    pooled = y.reshape(2, 4, 2, 3, 2, 4).max((2, 4))
    np.testing.assert_allclose(model(x), pooled, atol=1e-5)


def names(model: keras.Model) -> list[str]:
    return [layer.name.removeprefix("b_") for layer in model.layers[1:] if "shortcut" not in layer.name]


@pytest.mark.parametrize(
    ("convs", "preactivation", "expected"),
    [
        (layers.basic_convs, False, "conv1 norm1 act1 conv2 norm2 add out"),
        (layers.basic_convs, True, "norm1 act1 conv1 norm2 act2 conv2 add"),
        (layers.bottleneck_convs, False, "conv1 norm1 act1 conv2 norm2 act2 conv3 norm3 add out"),
        (layers.bottleneck_convs, True, "norm1 act1 conv1 norm2 act2 conv2 norm3 act3 conv3 add"),
    ],
)
def test_layer_order_matches_the_papers(convs, preactivation, expected):
    inputs = keras.Input((4, 4, 8))
    outputs = residual(convs, inputs, 8, shortcut=projection_shortcut, preactivation=preactivation)
    assert names(keras.Model(inputs, outputs)) == expected.split()


@pytest.mark.parametrize("preactivation", [False, True])
def test_branch_accepts_arbitrary_convolutions(preactivation):
    """An inverted bottleneck: 1x1, depthwise 5x5 of stride 2, 1x1."""
    inputs = keras.Input((9, 8, 4))
    convs = (layers.Conv(16, 1), layers.Conv(16, 5, 2, groups=16), layers.Conv(6, 1))
    outputs = residual(lambda width, stride: convs, inputs, 6, shortcut=pad_shortcut, preactivation=preactivation)
    model = keras.Model(inputs, outputs)
    assert model.output_shape == (None, 5, 4, 6)
    kernels = [model.get_layer(f"b_conv{i}").kernel.shape for i in (1, 2, 3)]
    assert kernels == [(1, 1, 4, 16), (5, 5, 1, 16), (1, 1, 16, 6)]


def test_preactivation_projection_starts_after_the_first_activation():
    for width, source in ((8, "x"), (16, "b_act1")):
        inputs = keras.Input((4, 4, 8), name="x")
        outputs = residual(layers.basic_convs, inputs, width, shortcut=pad_shortcut, preactivation=True)
        beside, _ = keras.Model(inputs, outputs).get_layer("b_add").input
        made_by = keras.Model(inputs, beside).layers
        assert [layer.name for layer in made_by if "shortcut" not in layer.name][-1] == source


def test_branch_hooks_run_before_the_last_convolution_and_at_the_end():
    inputs, seen = keras.Input((4, 4, 8)), []

    def note(y, *, name, place):
        seen.append((place, y.shape[-1]))
        return y

    before, end = (functools.partial(note, place=place) for place in ("before the last", "at the end"))
    branch = layers.Branch(layers.bottleneck_convs(8), before_last=before, at_end=end)
    layers.residual_block(inputs, branch, factories=factories(), shortcut=pad_shortcut, name="b")
    assert seen == [("before the last", 2), ("at the end", 8)]

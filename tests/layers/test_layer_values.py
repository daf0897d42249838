"""Norms, activations, convolutions and blocks against NumPy."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest

from cnnrecipes import layers
from cnnrecipes.errors import UnknownNameError
from cnnrecipes.layers.shortcuts import pad_shortcut, projection_shortcut

KINDS = ("batch", "layer", "instance", "group", "channel", "none")


def random(*shape):
    return np.random.default_rng(0).normal(1, 2, shape).astype("float32")


@pytest.mark.parametrize(
    ("kind", "axes"),
    [("batch", (0, 1, 2)), ("layer", (1, 2, 3)), ("instance", (1, 2)), ("channel", (3,)), ("group", (1, 2, 4))],
)
def test_norm_computes_statistics_over_its_axes(kind, axes):
    x = random(3, 4, 5, 6)
    layer = layers.norm(kind, groups=2)(name="n")
    layer.build(x.shape)
    layer.set_weights([np.arange(1, 7) / 3, np.arange(6) / 2, *layer.get_weights()[2:]])
    grouped = x.reshape(3, 4, 5, 2, 3) if kind == "group" else x
    mean, var = grouped.mean(axes, keepdims=True), grouped.var(axes, keepdims=True)
    expected = ((grouped - mean) / np.sqrt(var + 1e-5)).reshape(x.shape) * np.arange(1, 7) / 3 + np.arange(6) / 2
    np.testing.assert_allclose(layer(x, training=True) if kind == "batch" else layer(x), expected, atol=1e-4)


def test_norm_none_is_the_identity():
    x = random(2, 3, 3, 4)
    np.testing.assert_array_equal(layers.norm("none")(name="n", gamma_initializer="zeros")(x), x)


@pytest.mark.parametrize("factory", [layers.norm, layers.activation])
def test_unknown_kind_suggests_the_nearest_and_callable_is_returned(factory):
    with pytest.raises(UnknownNameError, match="relo|bath"):
        factory("relo" if factory is layers.activation else "bath")
    assert factory(keras.layers.ReLU) is keras.layers.ReLU


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("relu", lambda x: np.maximum(x, 0)),
        ("leaky_relu", lambda x: np.where(x > 0, x, 0.2 * x)),
        ("elu", lambda x: np.where(x > 0, x, np.expm1(x))),
        ("celu", lambda x: np.maximum(x, 0) + np.minimum(0, np.expm1(x))),
        ("gelu", lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))),
        ("silu", lambda x: x / (1 + np.exp(-x))),
        ("mish", lambda x: x * np.tanh(np.log1p(np.exp(x)))),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("tanh", np.tanh),
    ],
)
def test_activation_matches_its_formula(name, formula):
    x = np.linspace(-4, 4, 101, dtype="float32")
    np.testing.assert_allclose(layers.activation(name)(name="a")(x), formula(x.astype(float)), atol=1e-3)


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (7, 2), (1, 2)])
def test_convolution_pads_all_sides_equally(size, kernel, stride):
    x = random(2, size, size, 3)
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, layers.conv2d(inputs, 4, kernel, stride=stride, name="c"))
    weights, pad = model.get_weights()[0], kernel // 2
    padded = np.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
    places = range(0, size, stride)
    expected = np.stack(
        [
            np.stack(
                [np.einsum("nhwc,hwcd->nd", padded[:, i : i + kernel, j : j + kernel], weights) for j in places], 1
            )
            for i in places
        ],
        1,
    )
    np.testing.assert_allclose(model(x), expected, atol=1e-4)


def test_convolution_is_initialized_with_he_normal():
    inputs = keras.Input((8, 8, 64))
    kernel = keras.Model(inputs, layers.conv2d(inputs, 128, name="c")).get_weights()[0]
    assert kernel.std() == pytest.approx(np.sqrt(2 / (3 * 3 * 64)), rel=0.02)
    assert abs(kernel.mean()) < 1e-3


def test_max_pool_pads_all_sides_equally():
    x = np.abs(random(1, 6, 6, 1))
    inputs = keras.Input((6, 6, 1))
    out = keras.Model(inputs, layers.max_pool(inputs, 3, stride=2, name="p"))(x)
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])[0, ..., 0]
    expected = [[padded[i : i + 3, j : j + 3].max() for j in (0, 2, 4)] for i in (0, 2, 4)]
    np.testing.assert_array_equal(out[0, ..., 0], expected)


@pytest.mark.parametrize("convs", [layers.basic_convs, layers.bottleneck_convs])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_residual_block_starts_as_the_identity(kind, convs):
    x = np.abs(random(2, 6, 6, 8))
    inputs = keras.Input((6, 6, 8))
    block = {"factories": layers.LayerFactories(norm=layers.norm(kind, 2)), "shortcut": projection_shortcut}
    model = keras.Model(inputs, layers.residual_block(inputs, layers.Branch(convs(8)), name="b", **block))
    np.testing.assert_array_equal(model(x, training=True), x)


@pytest.mark.parametrize(("channels", "width", "stride"), [(4, 8, 2), (3, 8, 2), (4, 7, 1)])
def test_parameter_free_shortcut_subsamples_and_pads_channels(channels, width, stride):
    x = random(2, 6, 6, channels)
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, pad_shortcut(inputs, width, stride=stride, conv=None, norm=None, name="s"))
    before = (width - channels) // 2
    expected = np.pad(x[:, ::stride, ::stride], [(0, 0)] * 3 + [(before, width - channels - before)])
    np.testing.assert_array_equal(model(x), expected)
    assert model.count_params() == 0


def test_vgg_stage_convolves_and_halves_the_size():
    factories = layers.LayerFactories(norm=layers.norm("none"))
    inputs = keras.Input((9, 8, 3))
    model = keras.Model(inputs, layers.vgg_stage(inputs, 5, 2, factories=factories, name="s"))
    assert model.output_shape == (None, 4, 4, 5)
    assert [w.shape for w in model.weights] == [(3, 3, 3, 5), (3, 3, 5, 5)]


def test_residual_block_uses_the_given_factories():
    factories = layers.LayerFactories(norm=keras.layers.LayerNormalization, activation=keras.layers.ReLU)
    inputs = keras.Input((4, 4, 3))
    block = {"factories": factories, "shortcut": functools.partial(projection_shortcut), "name": "b"}
    model = keras.Model(inputs, layers.residual_block(inputs, layers.Branch(layers.basic_convs(6, 2)), **block))
    assert sum(isinstance(layer, keras.layers.LayerNormalization) for layer in model.layers) == 3
    assert model.output_shape == (None, 2, 2, 6)

"""Fast group, layer and instance normalization: values and gradients match Keras' layer at any size and precision."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnnrecipes as cr
from cnnrecipes.layers import FastGroupNormalization, with_fast_norms, with_keras_norms

SHAPES = [(2, 4, 4, 8), (1, 7, 5, 8), (3, 1, 6, 8), (5, 9, 1, 16)]


def pair(groups: int, channels: int, **options):
    """Keras' layer and ours with the same random scale and shift."""
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=channels).astype("float32") for _ in range(2)]
    made = []
    for cls in (keras.layers.GroupNormalization, FastGroupNormalization):
        layer = cls(groups=groups, epsilon=1e-5, **options)
        layer.build((None, None, None, channels))
        layer.set_weights(weights[: len(layer.weights)])
        made.append(layer)
    return made


def results(layer, x, upstream):
    """The output, and the gradients with respect to the input and every weight."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    return [y, *tape.gradient(y, [x, *(w.value for w in layer.weights)], output_gradients=tf.cast(upstream, y.dtype))]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("groups", [1, 2, 8, -1])
@pytest.mark.parametrize("offset", [0, 5])
def test_values_and_gradients_match_keras(shape, groups, offset):
    rng = np.random.default_rng(0)
    x, upstream = (rng.normal(offset, 2, shape).astype("float32") for _ in range(2))
    theirs, ours = (results(layer, x, upstream) for layer in pair(groups, shape[-1]))
    for expected, found in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("groups", [1, 4, -1])
def test_gradient_matches_finite_differences(groups):
    """Central differences of the formula in float64."""
    rng = np.random.default_rng(0)
    x, upstream = rng.normal(size=(2, 3, 2, 4)), rng.normal(size=(2, 3, 2, 4))
    gamma, beta = rng.normal(size=4), rng.normal(size=4)
    _, layer = pair(groups, 4)
    layer.set_weights([gamma, beta])

    def loss(x):
        size = 4 // groups if groups > 0 else 1
        grouped = x.reshape(2, 6, 4 // size, size)
        mean, variance = grouped.mean((1, 3), keepdims=True), grouped.var((1, 3), keepdims=True)
        return (((grouped - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape) * gamma * upstream).sum()

    slopes = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        step = np.zeros(x.shape)
        step[place] = 1e-5
        slopes[place] = (loss(x + step) - loss(x - step)) / 2e-5
    _, gradient, *_ = results(layer, x.astype("float32"), upstream.astype("float32"))
    np.testing.assert_allclose(gradient, slopes, atol=2e-4)


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}, {"scale": False, "center": False}])
def test_scale_and_center_are_optional(options):
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 4)).astype("float32")
    for expected, found in zip(*(results(layer, x, x) for layer in pair(2, 4, **options)), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_float16", 4e-3), ("mixed_bfloat16", 3e-2)])
def test_half_precision_gradients_are_rounded_float32_gradients(policy, tolerance):
    rng = np.random.default_rng(0)
    x, upstream = (rng.normal(3, 1, (2, 16, 16, 8)).astype("float32") for _ in range(2))
    full, mixed = pair(2, 8)[1], pair(2, 8, dtype=policy)[1]
    half = tf.cast(x, policy[6:])
    expected = results(full, tf.cast(half, "float32"), tf.cast(tf.cast(upstream, policy[6:]), "float32"))
    found = results(mixed, half, upstream)
    assert [t.dtype for t in found] == [policy[6:], policy[6:], "float32", "float32"]
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(tf.cast(b, "float32"), a, atol=tolerance * np.abs(a).max())


def test_sums_beyond_the_float16_range_do_not_overflow():
    layer = FastGroupNormalization(groups=1, dtype="mixed_float16")
    x = tf.fill([1, 64, 64, 32], tf.constant(300.0, "float16")) + tf.cast(tf.range(32), "float16")
    assert np.std(tf.cast(layer(x), "float32")) == pytest.approx(1, abs=0.01)


def test_constant_image_gives_the_shift():
    layer = pair(2, 8)[1]
    np.testing.assert_allclose(layer(np.full((2, 4, 4, 8), 7.0)), np.broadcast_to(layer.beta, (2, 4, 4, 8)), atol=1e-3)


def test_other_ranks_and_axes_use_the_keras_implementation():
    rng = np.random.default_rng(0)
    for shape, axis in [((2, 5, 8), -1), ((2, 3, 4, 4, 8), -1), ((2, 8, 4, 4), 1)]:
        x = rng.normal(size=shape).astype("float32")
        layers = [cls(groups=2, axis=axis) for cls in (keras.layers.GroupNormalization, FastGroupNormalization)]
        np.testing.assert_array_equal(*(layer(x) for layer in layers))


def test_exchange_with_keras_layers_keeps_all_weights(tmp_path):
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    model = cr.build("resnet8", input_shape=(8, 8, 1), classes=3, norm="group")
    plain = with_keras_norms(model)
    assert {type(layer).__module__.split(".")[0] for layer in plain.layers} == {"keras"}
    np.testing.assert_allclose(plain(x), model(x), rtol=1e-4, atol=1e-5)
    plain.save_weights(tmp_path / "w.weights.h5")
    model.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(with_fast_norms(plain)(x), model(x))


@pytest.mark.parametrize(
    ("groups", "shape", "words"),
    [
        (3, (2, 4, 4, 8), r"\(3\) must be a multiple.*\(8\).* norm_groups take a divisor of 8, for example [24]\."),
        (16, (2, 4, 4, 8), r"\(16\) cannot be more than.*\(8\).* for example 8\."),
        (-1, (2, 1, 1, 8), "a group of one value is 0"),
    ],
)
def test_invalid_groups_raise_with_a_remedy(groups, shape, words):
    with pytest.raises(cr.ModelError, match=words):
        FastGroupNormalization(groups=groups).build(shape)


@pytest.mark.parametrize(("groups", "channels"), [(3, 8), (16, 8), (2, None), (-1, None)])
def test_errors_contain_the_message_of_keras(groups, channels):
    shape = (None, 4, 4, channels)
    with pytest.raises(ValueError, match="channels|defined") as theirs:
        keras.layers.GroupNormalization(groups).build(shape)
    with pytest.raises(ValueError, match="channels|defined") as ours:
        FastGroupNormalization(groups).build(shape)
    assert str(theirs.value) in str(ours.value)


def test_model_with_indivisible_groups_raises_with_valid_groups():
    with pytest.raises(cr.ModelError, match="norm_groups take a divisor of 16, for example [24]"):
        cr.build("resnet8", input_shape=(8, 8, 1), classes=3, norm="group", norm_groups=3)


def test_input_beyond_the_float16_range_does_not_overflow():
    layer = FastGroupNormalization(groups=2, dtype="mixed_float16")
    x = np.full((2, 4, 4, 8), 70_000, "float32")
    x[:, ::2] = 80_000
    np.testing.assert_allclose(np.abs(tf.cast(layer(x), "float32")), 1, atol=1e-3)

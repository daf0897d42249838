"""Properties of the kinds of normalization beyond their formulas, which are tested in test_layer_values.py."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from cnnrecipes.layers import norm
from cnnrecipes.layers.norm import KINDS

PER_SAMPLE = ("layer", "instance", "group", "channel")


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(3, 2, shape).astype("float32")


@pytest.mark.parametrize("kind", PER_SAMPLE)
@pytest.mark.parametrize("training", [True, False])
def test_sample_is_normalized_independently_of_the_batch(kind, training):
    x, layer = images(4, 5, 5, 6), norm(kind, groups=3)(name="n")
    alone = np.concatenate([layer(x[i : i + 1], training=training) for i in range(4)])
    np.testing.assert_allclose(layer(x, training=training), alone, atol=1e-6)


def test_batch_norm_uses_moving_statistics_at_inference():
    x, layer = images(64, 4, 4, 3), norm("batch")(name="n")
    for _ in range(200):
        layer(x, training=True)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    np.testing.assert_allclose(layer(x[:2], training=False), (x[:2] - mean) / np.sqrt(variance + 1e-5), atol=1e-4)


def test_group_norm_includes_layer_and_instance_norm():
    x = images(2, 4, 4, 6)
    np.testing.assert_allclose(norm("group", 1)(name="g")(x), norm("layer")(name="l")(x), atol=1e-6)
    np.testing.assert_allclose(norm("group", 6)(name="g")(x), norm("instance")(name="i")(x), atol=1e-6)


@pytest.mark.parametrize("kind", ["batch", *PER_SAMPLE])
@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_float16", 2e-3), ("mixed_bfloat16", 1.6e-2)])
def test_mixed_precision_normalizes_in_float32(kind, policy, tolerance):
    x = keras.ops.convert_to_numpy(keras.ops.cast(keras.ops.cast(images(8, 5, 5, 4) + 97, policy[6:]), "float32"))
    mixed, full = (norm(kind, 2)(name="n", dtype=dtype) for dtype in (policy, "float32"))
    y = mixed(x, training=True)
    assert y.dtype == policy[6:]
    assert {weight.dtype for weight in mixed.weights} == {"float32"}
    np.testing.assert_allclose(keras.ops.cast(y, "float32"), full(x, training=True), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_scale_and_shift_are_per_channel(kind):
    layer = norm(kind, groups=2)(name="n", gamma_initializer="zeros")
    layer.build((None, 4, 4, 6))
    assert [weight.shape for weight in layer.trainable_weights] == [(6,), (6,)]
    assert [float(keras.ops.sum(weight)) for weight in layer.trainable_weights] == [0, 0]

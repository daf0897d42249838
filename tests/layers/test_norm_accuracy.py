"""Every norm is as accurate as Keras' layer relative to float64: forward and gradient, at any mean, in every dtype."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnrecipes.layers import norm

EPSILON, GROUPS, SHAPE = 1e-5, 4, (2, 16, 16, 8)
KINDS = ("batch", "layer", "instance", "group")
MEANS = (0, 10, 100, 1_000, 10_000)
RESULTS = ("y", "dx", "dgamma", "dbeta")


def exact(kind, x, upstream, gamma, beta):
    """y, dx, dgamma and dbeta in float64, and for each the error that float32 rounding alone explains."""
    n, h, w, c = x.shape
    groups = {"layer": 1, "group": GROUPS}.get(kind, c)
    axes = (0, 1, 2, 4) if kind == "batch" else (1, 2, 4)
    grouped, slope = (array.reshape(n, h, w, groups, c // groups) for array in (x, upstream * gamma))
    centered = grouped - grouped.mean(axes, keepdims=True)
    inverse = ((centered**2).mean(axes, keepdims=True) + EPSILON) ** -0.5
    xhat = centered * inverse
    dx = inverse * (slope - slope.mean(axes, keepdims=True) - xhat * (slope * xhat).mean(axes, keepdims=True))
    xhat = xhat.reshape(x.shape)
    results = [gamma * xhat + beta, dx.reshape(x.shape), (upstream * xhat).sum((0, 1, 2)), upstream.sum((0, 1, 2))]
    largest = [8 * np.abs(array).max() for array in results[:2]]
    largest += [4 * np.abs(terms).sum((0, 1, 2)).max() for terms in (upstream * xhat, upstream)]
    return results, [2**-24 * size for size in largest]


def pair(kind, dtype):
    """Our layer and Keras' layer."""
    groups = {"layer": 1, "instance": -1, "group": GROUPS}
    policy = dtype if dtype == "float32" else f"mixed_{dtype}"
    if kind == "batch":
        theirs = keras.layers.BatchNormalization(epsilon=EPSILON, dtype=policy)
    else:
        theirs = keras.layers.GroupNormalization(groups[kind], epsilon=EPSILON, dtype=policy)
    return norm(kind, GROUPS)(dtype=policy), theirs


def computed(layer, x, upstream, gamma, beta, xla=False):
    layer.build(x.shape)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)

    def forward_and_backward(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return [y, *tape.gradient(y, [x, layer.gamma.value, layer.beta.value], output_gradients=upstream)]

    run = tf.function(forward_and_backward, autograph=False, jit_compile=True) if xla else forward_and_backward
    return [tf.cast(result, "float64").numpy() for result in run(x, upstream)]


def assert_as_accurate_as_keras(kind, x, dtype, xla=False):
    """Within four times the error of Keras, or within the rounding of the results to float32 and `dtype`."""
    rng = np.random.default_rng(1)
    x, upstream = (tf.cast(tf.constant(array), dtype) for array in (x, rng.normal(size=x.shape)))
    gamma, beta = (rng.normal(1, 0.5, x.shape[-1]).astype("float32") for _ in range(2))
    expected, floors = exact(kind, *(np.asarray(tf.cast(array, "float64")) for array in (x, upstream, gamma, beta)))
    ours, keras_own = pair(kind, dtype)
    results = [computed(ours, x, upstream, gamma, beta, xla), computed(keras_own, x, upstream, gamma, beta)]
    for name, right, floor, found, theirs in zip(RESULTS, expected, floors, *results, strict=True):
        if name in ("y", "dx"):
            floor += np.abs(tf.cast(tf.cast(tf.constant(right), dtype), "float64") - right).max()
        errors = [np.abs(array - right).max() for array in (found, theirs)]
        assert errors[0] <= max(4 * errors[1], floor), f"{name}: {errors[0]:.1e}, Keras' {errors[1]:.1e}"


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_norm_is_as_accurate_as_keras_at_any_mean(kind, dtype, mean):
    assert_as_accurate_as_keras(kind, np.random.default_rng(0).normal(mean, 1, SHAPE), dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_norm_is_as_accurate_as_keras_under_xla(kind):
    assert_as_accurate_as_keras(kind, np.random.default_rng(0).normal(1_000, 1, SHAPE), "float32", xla=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["apart", "outlier", "rows", "narrow", "tiny"])
def test_norm_is_as_accurate_as_keras_on_uneven_activations(kind, case):
    x = np.random.default_rng(0).normal(0, 1, SHAPE)
    if case == "apart":
        x += 10.0 ** np.arange(-3, 5)  # a different mean for each channel
    elif case == "outlier":
        x[:, 3, 5] = 10_000
    elif case == "rows":
        x[:, ::4] += 1_000
    elif case == "narrow":
        x = 1_000 + x * 0.01
    elif case == "tiny":
        x *= 1e-4
    assert_as_accurate_as_keras(kind, x, "float32")

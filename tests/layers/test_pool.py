"""Pooling against NumPy and SciPy: padding, averages, anti-aliased (blur) pooling, global pooling."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy import ndimage

import cnnrecipes as cr
from cnnrecipes.layers import BlurPool, average_pool, blurred_max_pool, global_pool, max_pool, pool


def model_of(function, shape, *args, **options) -> keras.Model:
    inputs = keras.Input(shape)
    return keras.Model(inputs, function(inputs, *args, name="it", **options))


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(-1, 2, shape).astype("float32")


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("window", [3, 5])
@pytest.mark.parametrize("size", [5, 7, 8])
def test_max_pool_of_negative_values_ignores_padding(size, window, stride):
    x = normal(2, size, size, 3) - 10
    edge = window // 2
    padded = np.pad(x, [(0, 0), (edge, edge), (edge, edge), (0, 0)], constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (window, window), axis=(1, 2))[:, ::stride, ::stride]
    np.testing.assert_array_equal(model_of(max_pool, x.shape[1:], window, stride=stride)(x), windows.max((-2, -1)))


def test_both_paddings_agree_on_nonnegative_values():
    x = np.abs(normal(2, 8, 7, 3))
    both = [model_of(pool("max", nonnegative=n), x.shape[1:], 3, stride=2)(x).numpy() for n in (True, False)]
    np.testing.assert_array_equal(*both)


def test_max_pool_without_padding_drops_the_remainder():
    x = normal(1, 8, 8, 1)
    expected = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2].max((-2, -1))
    np.testing.assert_array_equal(model_of(max_pool, (8, 8, 1), 3, stride=2, padding=0)(x), expected)


@pytest.mark.parametrize("size", [7, 8])
def test_average_pool_counts_padding_as_zeros(size):
    x = normal(2, size, size, 3)
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    expected = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2].mean((-2, -1))
    np.testing.assert_allclose(model_of(average_pool, x.shape[1:], 3, stride=2)(x), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(6, 7, 2), (5, 5, 1), (2, 3, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_blur_pool_is_the_binomial_filter_with_reflected_borders(shape, stride):
    x = normal(2, *shape)
    kernel = np.outer([1, 2, 1], [1, 2, 1])[None, :, :, None] / 16
    expected = ndimage.convolve(x, kernel, mode="mirror")[:, ::stride, ::stride]
    np.testing.assert_allclose(BlurPool(stride)(x), expected, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 9])
def test_blur_pool_keeps_constants(size):
    np.testing.assert_allclose(BlurPool()(np.full((1, size, size, 2), 3.0)), 3.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("shift", "maximum", "blurred"), [(0, [0, 1, 0, 1], [0.5, 1, 0.5, 1]), (1, [1, 1, 1, 1], [0.75, 0.75, 0.75, 0.75])]
)
def test_blurred_max_pool_is_less_sensitive_to_shifts(shift, maximum, blurred):
    """The example of Zhang 2019, section 3.1 and figure 4."""
    row = np.tile([0, 0, 1, 1], 8).astype("float32")[shift : shift + 24]
    x = np.broadcast_to(row[None, None, :, None], (1, 24, 24, 1))
    for kind, expected in (("max", maximum), ("blur", blurred)):
        inside = model_of(pool(kind), (24, 24, 1), 2, stride=2)(x)[0, 5, 2:10, 0]
        assert sorted(np.unique(inside)) == sorted(set(expected)), kind


@pytest.mark.parametrize("size", [2, 8, 9, 31])
def test_pooling_with_a_2x2_window_halves_the_size_rounding_down(size):
    for function in (max_pool, average_pool, blurred_max_pool):
        assert model_of(function, (size, size, 3), 2, stride=2).output_shape == (None, size // 2, size // 2, 3)


@pytest.mark.parametrize(("kind", "expected"), [("average", np.mean), ("max", np.max)])
def test_global_pool_matches_numpy(kind, expected):
    x = normal(2, 4, 3, 5)
    np.testing.assert_allclose(model_of(global_pool, (4, 3, 5), kind)(x), expected(x, axis=(1, 2)), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: pool("avg"), "pooling 'avg'.*average"),
        (lambda: model_of(global_pool, (4, 4, 1), "mean"), "global pooling 'mean'"),
        (lambda: model_of(max_pool, (8, 8, 1), 2, stride=2, padding=1), "window of 2 is padded by .*got 1"),
    ],
)
def test_invalid_pooling_raises(make, words):
    with pytest.raises(cr.CNNRecipesError, match=words):
        make()

"""Convolution and max pooling: shapes, initialization, bias, padding. Values are tested in test_layer_values.py."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from cnnrecipes.layers import conv2d, max_pool


def model_of(function, shape, *args, **options) -> keras.Model:
    inputs = keras.Input(shape)
    return keras.Model(inputs, function(inputs, *args, name="it", **options))


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (5, 2), (7, 2)])
@pytest.mark.parametrize("shape", [(1, 1, 2), (7, 8, 2), (8, 5, 2)])
def test_stride_divides_the_size_rounding_up(kernel, stride, shape):
    height, width, _ = shape
    rounded_up = (-(-height // stride), -(-width // stride))
    assert model_of(conv2d, shape, 4, kernel, stride=stride).output_shape == (None, *rounded_up, 4)


@pytest.mark.parametrize(("kernel", "channels", "width"), [(1, 256, 256), (3, 64, 64), (7, 16, 64)])
def test_he_normal_uses_the_fan_in(kernel, channels, width):
    keras.utils.set_random_seed(0)
    weights = model_of(conv2d, (8, 8, channels), width, kernel).get_weights()[0]
    assert weights.std() == pytest.approx(np.sqrt(2 / (kernel**2 * channels)), rel=0.02)


@pytest.mark.parametrize("use_bias", [True, False])
def test_bias_is_optional(use_bias):
    weights = model_of(conv2d, (4, 4, 2), 3, use_bias=use_bias).weights
    assert [w.path.split("/")[-1] for w in weights] == ["kernel", "bias"][: 1 + use_bias]


@pytest.mark.parametrize(("size", "window"), [(7, 3), (8, 3), (8, 2), (9, 2), (9, 5)])
def test_zero_padding_of_max_pool_does_not_change_nonnegative_input(size, window):
    x = np.abs(np.random.default_rng(0).normal(size=(2, size, size, 3))).astype("float32")
    edge = window // 2 if window % 2 else 0
    padded = np.pad(x, [(0, 0), (edge, edge), (edge, edge), (0, 0)], constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (window, window), axis=(1, 2))[:, ::2, ::2]
    np.testing.assert_array_equal(model_of(max_pool, x.shape[1:], window, stride=2)(x), windows.max((-2, -1)))

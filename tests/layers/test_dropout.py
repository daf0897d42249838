"""Dropout, spatial dropout and stochastic depth: granularity, rate, and identity at inference."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes import layers

KINDS = {
    layers.dropout: (0, 1, 2, 3),
    layers.spatial_dropout: (0, 3),
    layers.stochastic_depth: (0,),
}


def model_of(function, rate: float) -> keras.Model:
    inputs = keras.Input((6, 6, 8))
    return keras.Model(inputs, function(inputs, rate, name="it"))


@pytest.mark.parametrize(("function", "independent_axes"), KINDS.items())
def test_dropout_is_shared_over_the_other_axes_and_keeps_the_mean(function, independent_axes):
    keras.utils.set_random_seed(0)
    x = np.ones((4000, 6, 6, 8), "float32")
    y = model_of(function, 0.25)(x, training=True).numpy()
    together = tuple(axis for axis in range(4) if axis not in independent_axes)
    if together:
        np.testing.assert_array_equal(y.max(together), y.min(together))
    assert {round(float(v), 4) for v in np.unique(y)} == {0, round(1 / 0.75, 4)}
    assert y.mean() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("function", KINDS)
def test_dropout_is_the_identity_at_inference_and_at_rate_zero(function):
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 8)).astype("float32")
    np.testing.assert_array_equal(model_of(function, 0.9)(x), x)
    inputs = keras.Input((6, 6, 8))
    assert function(inputs, 0.0, name="it") is inputs


def test_stochastic_depth_rate_grows_linearly_to_the_last_block():
    """Huang et al. 2016, eq. 4."""
    model = cr.build("resnet20", input_shape=(8, 8, 3), classes=2, stochastic_depth=0.45)
    rates = [layer.rate for layer in model.layers if layer.name.endswith("stochastic_depth")]
    np.testing.assert_allclose(rates, np.arange(1, 10) * 0.05)


def test_dropout_in_a_block_precedes_the_last_convolution():
    model = cr.build("wrn16_4", input_shape=(8, 8, 3), classes=2, widths=(8, 8, 8), spatial_dropout=0.1)
    names = [layer.name for layer in model.layers]
    for s in (1, 2, 3):
        for b in (1, 2):
            block = [name for name in names if name.startswith(f"stage{s}_block{b}_") and "shortcut" not in name]
            parts = [name.removeprefix(f"stage{s}_block{b}_") for name in block]
            assert parts[parts.index("act2") :][:4] == ["act2", "spatial_dropout", "dropout", "conv2"]
    assert model.get_layer("stage1_block1_dropout").rate == 0.3

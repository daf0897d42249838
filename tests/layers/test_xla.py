"""Every layer compiles under XLA, forward and backward, with the same values as without XLA."""

from __future__ import annotations

from typing import get_args

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnnrecipes as cr
from cnnrecipes import layers
from cnnrecipes.recipe import keys_and_defaults

IMAGES = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")


def outcomes(model, x, *, training):
    """The outputs and the gradients with respect to the input and the weights, without and with XLA."""

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model(x, training=training)
            # Nonlinear, so that every element has its own gradient.
            loss = tf.reduce_mean(tf.square(y - 1))
        return [y, *tape.gradient(loss, [x, *(weight.value for weight in model.trainable_weights)])]

    found = []
    for xla in (False, True):
        keras.utils.set_random_seed(0)
        found.append([array.numpy() for array in tf.function(step, autograph=False, jit_compile=xla)(tf.constant(x))])
    return found


def assert_alike(model, x, *, training=True):
    for plain, compiled in zip(*outcomes(model, x, training=training), strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-3, atol=1e-3 * np.abs(plain).max() + 1e-7)


def test_pooling_and_activations_match_under_xla():
    """All in parallel in one model, since compilation takes most of the time."""
    x = inputs = keras.Input((12, 12, 8))
    makers = (layers.max_pool, layers.average_pool, layers.blurred_max_pool)
    parts = [make(x, 3, stride=2, name=make.__name__) for make in makers]
    parts += [layers.BlurPool(name="blur")(x)]
    parts += [
        layers.max_pool(layers.activation(kind)(name=kind)(x), 2, stride=2, name=f"{kind}_pool")
        for kind in get_args(keys_and_defaults.Activation)
    ]
    parts = [keras.layers.GlobalAveragePooling2D()(part) for part in parts]
    parts += [layers.global_pool(x, kind, name=f"global_{kind}") for kind in ("average", "max")]
    model = keras.Model(inputs, keras.layers.Concatenate()(parts))
    assert_alike(model, np.random.default_rng(0).normal(size=(2, 12, 12, 8)).astype("float32"))


@pytest.mark.parametrize("make", [layers.stochastic_depth, layers.spatial_dropout, layers.dropout])
def test_dropout_compiles_under_xla_and_keeps_the_mean(make):
    inputs = keras.Input((4, 4, 64))
    model = keras.Model(inputs, make(inputs, 0.5, name="drops"))
    y = tf.function(lambda x: model(x, training=True), jit_compile=True)(tf.ones((64, 4, 4, 64))).numpy()
    assert set(np.unique(y)) == {0, 2}
    assert y.mean() == pytest.approx(1, abs=0.5)


NETS = {
    "resnet8": {"norm": "batch"},
    "resnet20": {"norm": "group", "norm_groups": 4, "squeeze_excite": 2, "variant": "v2"},
}


@pytest.mark.parametrize("name", NETS)
def test_network_matches_under_xla(name):
    stages = {"depths": (1, 1), "widths": (16, 32)}  # one block without and one with a change of shape
    model = cr.build(name, input_shape=(32, 32, 3), classes=4, zero_init_residual=False, **stages, **NETS[name])
    assert_alike(model, IMAGES)

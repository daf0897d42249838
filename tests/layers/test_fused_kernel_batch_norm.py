"""Fused batch normalization matches Keras' layer, including saving and loading; on two devices: test_mirrored.py."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnrecipes import build
from cnnrecipes.layers import FusedBatchNormalization, with_fast_norms, with_keras_norms

BOTH = (FusedBatchNormalization, keras.layers.BatchNormalization)


def both(shape, dtype="float32", trainable=True, **options):
    """A layer of each class with the same, non-trivial weights."""
    random = np.random.default_rng(1)
    made = []
    for cls in BOTH:
        layer = cls(momentum=0.9, epsilon=1e-5, dtype=dtype, **options)
        layer.build(shape)
        layer.trainable = trainable
        made.append(layer)
    weights = [random.uniform(0.5, 2, w.shape) for w in made[0].get_weights()]
    for layer in made:
        layer.set_weights(weights)
    return made


def outcome(layer, inputs, training):
    """The output, the gradients and the moving statistics."""
    direction = tf.constant(np.random.default_rng(2).normal(size=inputs.shape), "float32")
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=training)
        loss = tf.reduce_sum(tf.cast(outputs, "float32") * direction)
    watched = [inputs, *(w.value for w in (layer.gamma, layer.beta) if w is not None)]
    gradients = tape.gradient(loss, watched)
    return outputs, gradients, [layer.moving_mean.numpy(), layer.moving_variance.numpy()]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(4, 6, 6, 3), (3, 5, 7, 8), (8, 1, 1, 2), (1, 4, 4, 2), (1, 1, 1, 3)])
@pytest.mark.parametrize("options", [{}, {"center": False}, {"scale": False}, {"trainable": False}])
def test_values_gradients_and_moving_statistics_match_keras(shape, training, options):
    inputs = tf.constant(np.random.default_rng(0).normal(3, 2, shape), "float32")
    fused, stock = (outcome(layer, inputs, training) for layer in both(shape, **options))
    np.testing.assert_allclose(fused[0], stock[0], atol=1e-4)
    for ours, theirs in zip(fused[1] + fused[2], stock[1] + stock[2], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("shape", [(4, 6, 6, 3), (1, 1, 1, 3), (6, 3)])
def test_frozen_statistics_train_as_keras_at_inference(shape):
    inputs = tf.constant(np.random.default_rng(0).normal(3, 2, shape), "float32")
    frozen, stock = both(shape)
    frozen.frozen_statistics = True
    before = frozen.get_weights()
    ours, theirs = outcome(frozen, inputs, training=True), outcome(stock, inputs, training=False)
    for one, other in zip([ours[0], *ours[1]], [theirs[0], *theirs[1]], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4)
    for one, other in zip(frozen.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(frozen.trainable_variables) == 2
    assert "frozen_statistics" not in frozen.get_config()


@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_float16", 4e-3), ("mixed_bfloat16", 3e-2)])
@pytest.mark.parametrize("training", [True, False])
def test_mixed_precision_keeps_statistics_in_float32(policy, tolerance, training):
    inputs = tf.constant(np.random.default_rng(0).normal(3, 2, (8, 5, 5, 4)), "float32")
    fused, stock = (outcome(layer, inputs, training) for layer in both((8, 5, 5, 4), dtype=policy))
    assert fused[0].dtype == stock[0].dtype == policy.removeprefix("mixed_")
    np.testing.assert_allclose(tf.cast(fused[0], "float32"), tf.cast(stock[0], "float32"), atol=tolerance)
    for ours, theirs in zip(fused[2], stock[2], strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-3)


@pytest.mark.parametrize(
    ("shape", "options", "mask"),
    [
        ((4, 3, 5, 5), {"axis": 1}, None),
        ((6, 3), {}, None),
        ((4, 7, 3), {}, None),
        ((4, 5, 5, 3), {}, np.arange(100).reshape(4, 5, 5) % 3 > 0),
    ],
)
def test_unsupported_inputs_use_the_keras_implementation(shape, options, mask):
    inputs = tf.constant(np.random.default_rng(0).normal(size=shape), "float32")
    fused, stock = both(shape, **options)
    assert mask is not None or not fused._kernel_applies(inputs)
    arguments = {"training": True, "mask": None if mask is None else tf.constant(mask)}
    np.testing.assert_array_equal(fused(inputs, **arguments), stock(inputs, **arguments))


def small_model(cls):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = cls(name="norm")(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(keras.layers.GlobalAveragePooling2D(name="pool")(x)))


@pytest.mark.parametrize(("writer", "reader"), [BOTH, BOTH[::-1]])
def test_weight_files_are_interchangeable_with_keras(tmp_path, writer, reader):
    images = np.random.default_rng(0).normal(size=(5, 8, 8, 3)).astype("float32")
    one, other = small_model(writer), small_model(reader)
    one.compile("sgd", "mse")
    one.fit(images, np.ones((5, 2)), verbose=0)
    one.save_weights(tmp_path / "x.weights.h5")
    other.load_weights(tmp_path / "x.weights.h5")
    np.testing.assert_allclose(one(images), other(images), atol=1e-6)


def test_model_with_keras_norms_loads_without_cnnrecipes_and_any_after_its_import(tmp_path):
    images = np.random.default_rng(0).normal(size=(5, 8, 8, 3)).astype("float32")
    fused = with_fast_norms(small_model(keras.layers.BatchNormalization))
    assert type(fused.get_layer("norm")) is FusedBatchNormalization
    with_keras_norms(fused).save(tmp_path / "model.keras")
    grouped = build("fast_cnn", input_shape=(8, 8, 3), classes=2, norm="group", pool="blur", widths=(16, 16, 16))
    grouped.save(tmp_path / "grouped.keras")
    np.save(tmp_path / "images.npy", images)
    code = """
        import sys, keras, numpy as np
        model = keras.saving.load_model(sys.argv[1] + "/model.keras")
        np.save(sys.argv[1] + "/out.npy", model(np.load(sys.argv[1] + "/images.npy")))
        assert "cnnrecipes" not in sys.modules
        import cnnrecipes
        model = keras.saving.load_model(sys.argv[1] + "/grouped.keras")
        np.save(sys.argv[1] + "/grouped.npy", model(np.load(sys.argv[1] + "/images.npy")))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), fused(images), atol=1e-5)
    np.testing.assert_allclose(np.load(tmp_path / "grouped.npy"), grouped(images), rtol=1e-5, atol=1e-6)

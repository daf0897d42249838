"""Every class of normalization trains under MirroredStrategy, on two logical CPUs in a subprocess."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

KINDS = ["batch", "instance", "group", "channel"]  # layer norm is group norm with one group

# Prints for each norm the losses, the largest difference between the replicas' weights, and the largest difference to
# the weights of a training on one device with the whole batch. Then the weights of two nets with one batch norm, fused
# and Keras' own, after the same training.
PROGRAM = """
import json, sys
import cnnrecipes as cr
import keras, numpy as np, tensorflow as tf
from cnnrecipes.layers import FusedBatchNormalization

halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
rng = np.random.default_rng(0)
images, labels = rng.normal(size=(32, 8, 8, 3)).astype("float32"), rng.integers(0, 3, 32)
data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)

def train(strategy, kind):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = cr.build("resnet8", input_shape=(8, 8, 3), classes=3, norm=kind, depths=(1,), widths=(16,))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    # Two epochs: in a third, rounding grows a hundredfold where instance norm divides by the spread of 4 values, with
    # Keras' own layer just as much.
    return model, model.fit(data, epochs=2, verbose=0).history["loss"]

results = {}
mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for kind in sys.argv[1:]:
    model, losses = train(mirrored, kind)
    single, _ = train(tf.distribute.get_strategy(), kind)
    copies = [[part.numpy() for part in weight.value.values] for weight in model.trainable_weights]
    results[kind] = {
        "losses": losses,
        "apart": max(float(np.abs(a - b).max()) for a, b in copies),
        "from_single": max(float(np.abs(a - b).max()) for a, b in zip(model.get_weights(), single.get_weights())),
    }

images, results["fused"] = rng.normal(2, 3, (16, 6, 6, 3)).astype("float32"), []
data = tf.data.Dataset.from_tensor_slices((images, np.ones((16, 2), "float32"))).batch(8)
for cls in (FusedBatchNormalization, keras.layers.BatchNormalization):
    with mirrored.scope():
        keras.utils.set_random_seed(0)
        x = inputs = keras.Input((6, 6, 3))
        x = cls(momentum=0.9)(keras.layers.Conv2D(4, 3)(x))
        model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
        model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=False)
    model.fit(data, epochs=3, verbose=0, shuffle=False)
    results["fused"].append([weight.tolist() for weight in model.get_weights()])
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def results():
    done = subprocess.run([sys.executable, "-c", PROGRAM, *KINDS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_norm_trains_on_two_devices(results, kind):
    result = results[kind]
    assert result["losses"][-1] < result["losses"][0]
    assert result["apart"] == 0
    if kind != "batch":  # batch norm has statistics per device
        assert result["from_single"] < 1e-4


def test_fused_batch_norm_trains_as_that_of_keras_on_two_devices(results):
    fused, stock = results["fused"]
    for ours, theirs in zip(fused, stock, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert np.abs(fused[4]).max() > 0.01  # the moving mean has moved

"""Norms, convolutions, pooling and blocks against PyTorch, at odd and even sizes; see tests/models/test_parity.py."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnrecipes import layers
from cnnrecipes.layers.shortcuts import projection_shortcut

PARITY = Path(__file__).parents[1] / "parity"
cases = SimpleNamespace(**runpy.run_path(str(PARITY / "cases.py")))
numbers = SimpleNamespace(**runpy.run_path(str(PARITY / "numbers_of.py")))
NAMES = {
    "weight": ("kernel", "gamma"),
    "bias": ("beta",),
    "running_mean": ("moving_mean",),
    "running_var": ("moving_variance",),
}


def built(kind: str, inputs: int, width: int, stride: int, height: int, breadth: int) -> keras.Model:
    x = images = keras.Input((height, breadth, inputs))
    if kind.startswith("conv"):
        y = layers.conv2d(x, width, int(kind[4:]), stride=stride, name="it")
    elif kind == "max_pool":
        y = layers.max_pool(x, 3, stride=stride, name="it")
    elif kind in ("basic", "bottleneck"):
        convs = layers.basic_convs if kind == "basic" else layers.bottleneck_convs
        block = {"factories": layers.LayerFactories(), "shortcut": projection_shortcut, "name": "it"}
        y = layers.residual_block(x, layers.Branch(convs(width, stride)), **block)
    else:
        y = layers.norm(kind, 8)(name="it")(x)
    return keras.Model(images, y)


def weight_of(model: keras.Model, name: str) -> keras.Variable:
    """Our variable for a PyTorch parameter, for example "downsample.0.weight", or "weight" of a single layer."""
    *module, part = name.split(".")
    if not module:
        layer = "it"
    elif module[0] == "downsample":
        layer = ("it_shortcut_conv", "it_shortcut_norm")[int(module[1])]
    else:
        layer = "it_" + module[0].replace("bn", "norm")
    return next(weight for weight in model.get_layer(layer).weights if weight.name in NAMES[part])


def ours(array: np.ndarray) -> np.ndarray:
    """Transpose a kernel (out, in, h, w) to (h, w, in, out)."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def assert_close(found, recorded) -> None:
    np.testing.assert_allclose(found, recorded, rtol=0, atol=1e-4 * max(1, np.abs(recorded).max(initial=0)))


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("name", cases.PARTS)
def test_outputs_and_gradients_match_pytorch(name, mode):
    recorded = np.load(PARITY / "values" / f"{name}.npz")
    shapes = {key: tuple(shape) for key, shape in json.loads(str(recorded["shapes"])).items()}
    _, inputs, _, _, height, breadth = cases.PARTS[name]
    model = built(*cases.PARTS[name])
    for key, value in numbers.weights(shapes).items():
        weight_of(model, key).assign(ours(value))
    x = tf.constant(numbers.draw(f"images of {name}", (cases.BATCH, inputs, height, breadth)).transpose(0, 2, 3, 1))
    trained = [weight_of(model, key) for key in recorded["names"]]
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = model(x, training=mode == "train")
        first = tf.transpose(outputs, (0, 3, 1, 2))
        loss = tf.reduce_sum(first * numbers.draw(f"outputs of {name}", tuple(first.shape)))
    for_images, *gradients = tape.gradient(loss, [x, *(weight.value for weight in trained)])
    assert_close(first, recorded[f"{mode}_outputs"])
    assert_close(for_images.numpy().transpose(0, 3, 1, 2).ravel()[::7], recorded[f"{mode}_images"])
    directions = [ours(numbers.directions(shapes)[key]) for key in recorded["names"]]
    assert_close([np.linalg.norm(g) for g in gradients], recorded[f"{mode}_norms"])
    products = [(g.numpy() * d).sum() for g, d in zip(gradients, directions, strict=True)]
    assert_close(products, recorded[f"{mode}_products"])

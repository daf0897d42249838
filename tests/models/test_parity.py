"""Whole networks against PyTorch: outputs and gradients, with weights loaded by `load_state_dict`.

PyTorch's values are recorded in tests/parity/values by tests/parity/record.py. Batch norm's moving statistics are not
compared after a step: PyTorch updates the variance with Bessel's correction, Keras without.
"""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from light_models import undrawn

import cnnrecipes as cr
from cnnrecipes.models.without_values import without_values

PARITY = Path(__file__).parents[1] / "parity"
cases = SimpleNamespace(**runpy.run_path(str(PARITY / "cases.py")))
numbers = SimpleNamespace(**runpy.run_path(str(PARITY / "numbers_of.py")))
TOLERANCE = 1e-4  # relative to the largest value
GROUPED = ("resnext50",)  # gradients in training only: Keras compiles each grouped convolution at each call


def built(name: str, dtype: str = "float32") -> keras.Model:
    (architecture, options), pixels, _ = cases.NETS[name]
    keras.config.set_dtype_policy(dtype)
    try:
        return cr.build(architecture, input_shape=(pixels, pixels, 3), classes=cases.CLASSES, dropout=0, **options)
    finally:
        keras.config.set_dtype_policy("float32")


def read(name: str) -> tuple[dict, dict[str, tuple[int, ...]]]:
    """The recorded values, and the names and shapes of PyTorch's state_dict."""
    recorded = dict(np.load(PARITY / "values" / f"{name}.npz"))
    return recorded, {key: tuple(shape) for key, shape in json.loads(str(recorded.pop("shapes"))).items()}


def images_for(name: str, model: keras.Model) -> np.ndarray:
    pixels = model.input_shape[1]
    return numbers.draw(f"images of {name}", (cases.BATCH, 3, pixels, pixels)).transpose(0, 2, 3, 1)


def assert_close(found, recorded, what: str) -> None:
    scale = np.abs(recorded).max()
    assert np.abs(found - recorded).max() <= TOLERANCE * scale, (what, np.abs(found - recorded).max() / scale)


@pytest.mark.parametrize("name", cases.NETS)
def test_outputs_and_gradients_match_pytorch(name):
    recorded, shapes = read(name)
    with undrawn():
        exact = built(name, "float32" if name in cases.SHALLOW else "float64")
    cr.load_state_dict(exact, numbers.directions(shapes))  # in our order of axes
    directions = [weight.numpy() for weight in exact.trainable_weights]
    assert sorted(cr.load_state_dict(exact, numbers.weights(shapes)).matched) == sorted(shapes)
    single = in_float32(name, exact)
    for mode in ("eval", "train"):  # only the second changes the moving statistics
        training = mode == "train"
        outputs = single(images_for(name, exact), training=training)
        assert_close(np.asarray(outputs), recorded[f"{mode}_outputs"], f"{mode} outputs")
        if name in GROUPED and not training:
            continue
        for_images, gradients = gradients_of(name, exact, training)
        flat = for_images.transpose(0, 3, 1, 2).ravel()[::7]
        assert_close(flat, recorded[f"{mode}_images"], f"{mode} gradient for the images")
        norms = [np.linalg.norm(gradient) for gradient in gradients]
        assert_close(np.sort(norms), np.sort(recorded[f"{mode}_norms"]), f"{mode} norms of gradients")
        products = [np.vdot(g, d) for g, d in zip(gradients, directions, strict=True)]
        assert_close(np.sort(products), np.sort(recorded[f"{mode}_products"]), f"{mode} gradients along directions")


def in_float32(name: str, exact: keras.Model) -> Callable:
    """The model with the same weights, rounded to float32, as a function (images, training) -> outputs."""
    if exact.compute_dtype == "float32":
        return exact
    with without_values():  # it computes with those of the other
        model = built(name)
    values = (exact.trainable_variables, exact.non_trainable_variables)
    rounded = [[tf.cast(variable, "float32") for variable in kind] for kind in values]
    return lambda images, training: model.stateless_call(*rounded, images, training=training)[0]


def gradients_of(name: str, model: keras.Model, training: bool) -> tuple[np.ndarray, list[np.ndarray]]:
    """The gradients, for the images and each weight, of their product with a random direction."""
    images = tf.constant(images_for(name, model), model.compute_dtype)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = model(images, training=training)
        loss = tf.reduce_sum(outputs * numbers.draw(f"outputs of {name}", (cases.BATCH, cases.CLASSES)))
    weights = [weight.value for weight in model.trainable_weights]
    for_images, *gradients = (g.numpy().astype("float64") for g in tape.gradient(loss, [images, *weights]))
    return for_images, gradients

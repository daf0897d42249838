"""The preprocessing contract of every family of keras.applications: backbone equals `preprocess_input` + application.

One row of each family and of each branch in Keras' code is compared by values, cut and saved (FAMILIES). Of larger
variants of the same code only the names of their stage ends differ: some are built (VARIANTS); all of them are with
CNNRECIPES_ALL_BACKBONES=1, which takes some minutes, and were for models/architecture_sizes.py, which has the strides
of each.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from light_models import undrawn

import cnnrecipes as cr
from cnnrecipes.layers import with_keras_norms
from cnnrecipes.models import Backbone, applications, backbone, find
from cnnrecipes.models.architecture_sizes import SIZES
from cnnrecipes.models.pretrained.application import Application
from cnnrecipes.models.pretrained.preprocessing import TORCH_MEAN, TORCH_STD
from cnnrecipes.models.pretrained.weights import set_from_stock
from cnnrecipes.models.without_values import without_values
from cnnrecipes.recipe import schema

FAMILIES = (
    "keras_vgg16",
    "keras_resnet50",
    "resnet50_v2",
    "densenet121",
    "mobilenet",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "efficientnet_v2_b0",
    "inception_v3",
    "inception_resnet_v2",
    "xception",
    "nasnet_mobile",
    "convnext_tiny",
)
VARIANTS = ("keras_vgg19", "mobilenet_v3_large", "efficientnet_b1", "convnext_small")
NARROW = {"mobilenet": 0.25, "mobilenet_v2": 0.35, "mobilenet_v3_small": 0.75}
SAVED_WHOLE = ("convnext_tiny", "mobilenet_v3_small")
GRAY = ("mobilenet", "mobilenet_v3_small", "keras_vgg16", "efficientnet_b0", "convnext_tiny")
ALL = "CNNRECIPES_ALL_BACKBONES"


def spec(name: str) -> schema.Model:
    return find(name).complete(schema.Model(name=name, alpha=NARROW.get(name)))


def images(size: int, channels: int = 3) -> np.ndarray:
    """Two images: noise, and a gradient with the ends of the range."""
    noise = np.random.default_rng(0).integers(0, 256, (size, size, channels))
    ramp = np.broadcast_to(np.linspace(0, 255, size)[:, None, None], noise.shape)
    return np.stack([noise, ramp]).astype("uint8")


def stock_model(name: str, size: int) -> keras.Model:
    """Keras' own backbone with random weights, also those that are drawn as zeros and ones."""
    random = np.random.default_rng(1)
    stock = find(name).application.stock(spec(name), (size, size, 3))
    for layer in stock.layers:
        values = layer.get_weights()
        if isinstance(layer, keras.layers.BatchNormalization):
            # Around 1 for scale and variance: activations neither vanish nor grow from block to block.
            middle = {"gamma": 0.8, "beta": 0.1, "moving_mean": 0.1, "moving_variance": 1.0}
            names = [weight.name for weight in layer.weights]
            values = [random.uniform(0.8, 1.2, v.shape) * middle[n] for n, v in zip(names, values, strict=True)]
        elif isinstance(layer, keras.layers.Normalization) and values:
            values = [np.asarray(TORCH_MEAN), np.asarray(TORCH_STD), np.asarray(0)]  # as in Keras' file
        elif len(values) == 2:
            values[1] = random.uniform(-0.1, 0.1, values[1].shape)
        elif "layer_scale" in layer.name:
            values = [random.uniform(0.1, 0.5, values[0].shape)]
        layer.set_weights(values)
    measure_statistics(stock, find(name).application, size)
    return stock


def measure_statistics(stock: keras.Model, application: Application, size: int) -> None:
    """Set moving statistics to those of 16 images: random blocks, noise, and gradients.

    With drawn ones activations shrink from block to block, and all images have the same output but for rounding. With
    the variance itself differences grow, also those by rounding: it is larger, and not much below the median.
    """
    random, tile = np.random.default_rng(2), -(-size // 4)
    pixels = random.integers(0, 256, (16, 4, 4, 3)).repeat(tile, 1).repeat(tile, 2)[:, :size, :size]
    pixels[::2] = random.integers(0, 256, (8, size, size, 3))
    pixels[1::4] = np.linspace(0, 255, size)[:, None, None] * random.uniform(0.5, 1, (4, 1, 1, 3))
    norms = [layer for layer in stock.layers if isinstance(layer, keras.layers.BatchNormalization)]
    drops = [layer for layer in stock.layers if isinstance(layer, keras.layers.Dropout)]
    kept = [norm.momentum for norm in norms], [drop.rate for drop in drops]
    for norm in norms:
        norm.momentum = 0.0
    for drop in drops:
        drop.rate = 0.0
    stock(application.module.preprocess_input(pixels.astype("float32")), training=True)
    for norm, momentum in zip(norms, kept[0], strict=True):
        norm.momentum, variance = momentum, norm.moving_variance.numpy()
        norm.moving_variance.assign(1.5 * np.maximum(variance, 0.5 * np.median(variance)))
    for drop, rate in zip(drops, kept[1], strict=True):
        drop.rate = rate


def as_imagenet(name: str, stock: keras.Model, size: int, folder, monkeypatch) -> keras.Model:
    """Keras' backbone as it is with weights="imagenet", which adds a layer to EfficientNet, with the given weights."""
    if not name.startswith("efficientnet_b"):
        return stock
    path = folder / "notop.weights.h5"
    stock.save_weights(path)
    monkeypatch.setattr(
        importlib.import_module(keras.utils.get_file.__module__), "get_file", lambda *args, **more: str(path)
    )
    return find(name).application.stock(spec(name), (size, size, 3), weights="imagenet")


def assert_equal(values, expected) -> None:
    expected = np.asarray(expected)
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    return tmp_path_factory.mktemp("artifacts")


# With everything else about a family that needs the same two models: they take longer to build than to compare.
@pytest.mark.parametrize("name", FAMILIES)
def test_backbone_equals_preprocess_input_and_application(name, artifacts, tmp_path, monkeypatch):
    application = find(name).application
    size = application.least
    stock = stock_model(name, size)
    with monkeypatch.context() as patch:  # its layers are copied, not their weights: this one serves too
        patch.setattr(Application, "stock", lambda self, spec, input_shape: {(size, size, 3): stock}[input_shape])
        with contextlib.nullcontext() if name in SAVED_WHOLE else undrawn():  # a head whose logits are compared
            model = cr.build(spec(name), input_shape=(size, size, 3), classes=2)
    set_from_stock(model, application, stock, name)
    theirs = as_imagenet(name, stock, size, tmp_path, monkeypatch)
    ours = Backbone.of(model)
    given = [images(size), images(size) * np.float32(0.7)]
    expected = theirs(application.module.preprocess_input(np.concatenate(given).astype("float32"))).numpy()
    assert np.ptp(expected[:2], axis=0).max() > 1e-3 * np.abs(expected).max()  # the output depends on the image
    features, logits = keras.Model(model.inputs, [ours.model.output, model.output])([given[0]])
    assert_equal(features, expected[:2])
    assert_equal(ours.model(given[1]), expected[2:])
    assert tuple(stage.stride for stage in ours.stages) == SIZES[name].strides
    assert ours.stages[-1].channels == ours.model.output_shape[-1]
    check_cuts(ours, application.one_tensor)
    if name in SAVED_WHOLE:
        check_saved(model, given[0], logits, artifacts / f"{name}.keras")
    else:
        part = first_of_each_kind(ours)
        check_saved(part, given[0], part(given[0]), artifacts / f"{name}.keras")
    if name in GRAY:
        check_gray(ours.model, stock, name)


def check_cuts(found: Backbone, one_tensor: bool) -> None:
    """Later stages use nothing but the output of a stage, if `one_tensor`."""
    for stage in found.stages[:-1]:
        if one_tensor:
            assert keras.Model(stage.output, found.model.output).layers
        else:
            with pytest.raises((ValueError, KeyError)):  # Keras before 3.13 notices it at the call
                keras.Model(stage.output, found.model.output)(np.zeros((1, *stage.output.shape[1:]), np.float32))


def first_of_each_kind(found: Backbone) -> keras.Model:
    """The fewest first stages that have every class of layer and operation of the backbone."""

    def kinds(model: keras.Model) -> set[type]:
        return {type(operation) for operation in model.operations}

    parts = (keras.Model(found.model.inputs, stage.output) for stage in found.stages)
    return next(part for part in parts if kinds(part) == kinds(found.model))


def check_saved(model: keras.Model, pixels, logits, path) -> None:
    """The artifact has no layer of this package, and the same stages and values once it is loaded."""
    with undrawn():
        with_keras_norms(model).save(path)
    with zipfile.ZipFile(path) as archive:
        assert b"cnnrecipes" not in archive.read("config.json")
    with undrawn():
        loaded = keras.saving.load_model(path)
    assert_equal(loaded(pixels), logits)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]


def check_gray(rgb: keras.Model, stock: keras.Model, name: str) -> None:
    """Gray images have the features of the same images in RGB."""
    with undrawn():
        gray = backbone(spec(name), input_shape=(32, 32, 1)).model
    set_from_stock(gray, find(name).application, stock, name)
    pixels = images(32, 1)
    assert_equal(gray(pixels), rgb(np.repeat(pixels, 3, axis=-1)))


def test_keras_without_this_package_opens_saved_backbones(artifacts):
    paths = [str(artifacts / f"{name}.keras") for name in ("convnext_tiny", "mobilenet_v3_small")]
    for path in paths:
        if not Path(path).exists():  # this test runs alone
            with_keras_norms(cr.build(Path(path).stem, input_shape=(32, 32, 3), classes=2)).save(path)
    code = "import keras, sys; [print(keras.saving.load_model(p).name) for p in sys.argv[1:]]"
    code += "; assert 'cnnrecipes' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["convnext_tiny", "mobilenet_v3_small"], done.stderr


@pytest.mark.parametrize("name", applications() if ALL in os.environ else VARIANTS)
def test_stages_end_at_layers_of_keras(name):
    size = find(name).application.least
    with without_values():
        found = backbone(name, input_shape=(size, size, 3))
    assert tuple(stage.stride for stage in found.stages) == SIZES[name].strides
    assert found.stages[-1].channels == SIZES[name].channels


def test_every_constructor_of_keras_applications_has_a_row():
    constructors = {name for name in vars(keras.applications) if name[0].isupper()}
    assert {row.application.constructor for row in applications().values()} == constructors


def test_filters_are_summed_if_all_channels_are_scaled_alike():
    stock = stock_model("mobilenet", 32)
    gray = backbone(spec("mobilenet"), input_shape=(32, 32, 1)).model
    set_from_stock(gray, find("mobilenet").application, stock, "mobilenet")
    summed = stock.get_layer("conv1").kernel.numpy().sum(axis=2, keepdims=True)
    np.testing.assert_array_equal(gray.get_layer("stem_conv1").kernel, summed)


def test_weights_serve_another_image_size():
    stock = stock_model("mobilenet_v2", 64)
    wide = backbone(spec("mobilenet_v2"), input_shape=(64, 96, 3)).model
    set_from_stock(wide, find("mobilenet_v2").application, stock, "mobilenet_v2")
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype("float32")
    two = wide(np.concatenate([pixels, pixels[:, :, :32]], axis=2)).numpy()
    assert two.shape[1:3] == (2, 3)
    assert np.isfinite(two).all()

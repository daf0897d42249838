"""Every architecture: published parameter counts, saving and exporting."""

from __future__ import annotations

import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from light_models import narrow

import cnnrecipes as cr
from cnnrecipes.models import Published, own_architectures
from cnnrecipes.models.without_values import without_values

ARCHITECTURES = own_architectures()
IMAGENET = {"input_shape": (224, 224, 3), "classes": 1000}
CIFAR = {"input_shape": (32, 32, 3), "classes": 10}
FAMILIES = ["alexnet", "vgg11", "plain20", "resnet20", "resnet50", "wrn16_4", "resnext50", "fast_cnn"]


@functools.cache
def trainable_parameters(name: str, **options) -> int:
    with without_values():
        model = cr.build(name, **options)
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def small(name: str, **options) -> keras.Model:
    """An architecture for small images, without the large dense layers of a classic head."""
    size = 63 if name == "alexnet" else 32
    return cr.build(name, input_shape=(size, size, 3), classes=3, **{"head": "average", **options})


def images(model: keras.Model, count: int = 4) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 2, (count, *model.input_shape[1:])).astype("float32")


@pytest.mark.parametrize(
    ("name", "published"),
    [
        pytest.param(name, published, id=f"{name}-{published.source}-{dict(published.options)}")
        for name, row in ARCHITECTURES.items()
        for published in row.published
    ],
)
def test_parameter_count_matches_the_published_count(name, published):
    shape, classes = ARCHITECTURES[name].setting
    assert published.agrees(trainable_parameters(name, input_shape=shape, classes=classes, **published.options))


def test_only_listed_architectures_have_no_published_count():
    without = {name for name, row in ARCHITECTURES.items() if not row.published}
    assert without == {"resnet8", "resnet14", "plain18", "plain34"}


# Exact counts, which the papers round: those of akamaster/pytorch_resnet_cifar10, kuangliu's and szagoruyko's CIFAR
# nets, and David Page's net with a bias in its last layer; and of options that no row publishes.
@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("vgg16", CIFAR | {"head": "average"}, 14_728_266),
        ("resnet20", CIFAR, 269_722),
        ("resnet32", CIFAR, 464_154),
        ("resnet44", CIFAR, 658_586),
        ("resnet56", CIFAR, 853_018),
        ("resnet110", CIFAR, 1_727_962),
        ("plain20", CIFAR, 269_722),
        ("plain56", CIFAR, 853_018),
        ("resnet18", CIFAR | {"stem": "cifar"}, 11_173_962),
        ("resnet50", IMAGENET | {"variant": "v1"}, 25_557_032),
        ("resnet50", IMAGENET | {"variant": "v2"}, 25_549_352),
        ("resnet50", IMAGENET | {"variant": "d"}, 25_576_264),
        ("wrn16_4", CIFAR, 2_748_890),
        ("wrn28_10", CIFAR, 36_479_194),
        ("fast_cnn", CIFAR, 6_573_130),
    ],
)
def test_parameter_count_matches_other_implementations(name, options, count):
    assert trainable_parameters(name, **options) == count


@pytest.mark.parametrize(
    ("published", "count", "agrees"),
    [
        ("0.27", 269_722, True),
        ("0.27", 280_001, False),
        (11_689_512, 11_689_512, True),
        (11_689_512, 11_689_513, False),
    ],
)
def test_published_count_is_compared_to_its_precision(published, count, agrees):
    assert Published(published, "a paper").agrees(count) is agrees


@pytest.mark.parametrize("name", FAMILIES)
def test_model_saves_loads_and_exports(name, tmp_path):
    # Two narrow stages of one block have each kind of layer, and exporting fifty blocks takes long.
    row = {**ARCHITECTURES[name].options, **narrow(name)}
    model = small(name, **({"depths": (1, 1), "widths": row["widths"][:2]} if "depths" in row else {}))
    expected = model(images(model)).numpy()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images(model)), expected)
    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(served.serve(images(model)), expected, rtol=1e-5, atol=1e-5)

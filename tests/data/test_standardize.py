"""Standardization: the model's layer matches the statistics of the training split."""

from __future__ import annotations

import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes._support import user_cache
from cnnrecipes.data.channel_statistics import split_statistics
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.data.standardize import IMAGENET, Statistics
from cnnrecipes.errors import DataError
from cnnrecipes.recipe.schema import Data

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)


def statistics_of(kind, images=IMAGES):
    spec = Data(name="x", validation=0.0, standardize=kind)
    split = open_source((images, np.arange(20) % 2), spec).split("train")
    return split_statistics(split, spec)


@pytest.mark.parametrize("kind", ["train", "imagenet", "image", "none"])
def test_model_standardizes_like_the_statistics(kind, tmp_path):
    found = statistics_of(kind)
    model = cr.build("resnet8", input_shape=(16, 16, 3), classes=2, **found.for_model)
    inner = model.get_layer("standardize").output if kind != "none" else model.inputs[0]
    import keras

    layer = keras.Model(model.inputs, inner)
    np.testing.assert_allclose(layer(IMAGES.astype(np.float32)), found.standardize(IMAGES), rtol=1e-4, atol=1e-4)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(IMAGES), model(IMAGES))


def test_statistics_have_the_named_values():
    assert (statistics_of("imagenet").mean, statistics_of("imagenet").std) == IMAGENET
    own = statistics_of("image").standardize(IMAGES)
    np.testing.assert_allclose(own.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(own.std((1, 2, 3)), 1, atol=1e-4)
    np.testing.assert_allclose(statistics_of("train").mean, IMAGES.mean((0, 1, 2)))


def test_imagenet_statistics_require_three_channels():
    with pytest.raises(DataError, match="'imagenet' needs 3 channels, the images have 1"):
        statistics_of("imagenet", IMAGES[..., :1])


@pytest.mark.parametrize("kind", ["imagenet", "image", "none"])
def test_training_works_with_every_standardization(kind, tmp_path):
    changes = {"model.name": "resnet8", "data.batch_size": 5, "train.epochs": 1, "optimizer.warmup": "0 epochs"}
    changes |= {
        "data.image_size": 16,
        "optimizer.learning_rate": 1e-4,
        "data.validation": 0.2,
        "data.standardize": kind,
    }
    data = (IMAGES, np.arange(20) % 2)
    run = cr.fit("resnet20_cifar", data=data, workdir=tmp_path, progress=False, **changes)
    assert run.evaluate(data, "validation")["accuracy"] == run.metrics["validation"]["accuracy"]


def test_statistics_of_unchanged_files_are_cached(flowers, monkeypatch):
    spec = Data(name="x", image_size=8, validation=0.9)
    split = open_source(flowers, spec).split("train")
    first = split_statistics(split, spec)
    monkeypatch.setattr("cnnrecipes.data.channel_statistics.arrays", lambda *args: pytest.fail("read again"))
    assert split_statistics(split, spec) == first
    kept = list((user_cache.folder() / "statistics").glob("*.json"))
    for file in kept:
        file.write_text("{damaged")
    assert Statistics.load(kept[0]) is None
    with pytest.raises(pytest.fail.Exception):
        split_statistics(split, spec)

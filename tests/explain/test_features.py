"""Features, maps of images in the plane, and nearest training images."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest
from legible import assert_legible
from PIL import Image

from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.errors import DataError, ModelError, UnknownNameError
from cnnrecipes.explain import embed, embedding, features, nearest_training_images, plot_embedding


@pytest.fixture(scope="module")
def validation(digits_run):
    return open_source(None, digits_run.recipe.data).split("validation")


def test_features_are_the_input_of_the_last_layer(digits_run, validation):
    found = features(digits_run, validation)
    last = digits_run.model.get_layer("logits")
    assert found.shape == (len(validation), last.kernel.shape[0])
    images = validation.images.array[validation.positions]
    logits = found @ last.kernel.numpy() + last.bias.numpy()
    np.testing.assert_allclose(logits, digits_run.artifact.logits(images), atol=1e-3)
    np.testing.assert_allclose(features(digits_run.artifact, images[:70]), found[:70], atol=1e-4)


def test_features_before_a_convolutional_head_are_averaged():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(3, 3, name="one"),
            keras.layers.Conv2D(2, 1),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 1), np.uint8)
    maps = model.get_layer("one")(images.astype(np.float32)).numpy()
    np.testing.assert_allclose(features(model, images), maps.mean(axis=(1, 2)), rtol=1e-4)
    with pytest.raises(ModelError, match="no layer with weights"):
        features(keras.Sequential([keras.Input((6, 6, 1)), keras.layers.GlobalAveragePooling2D()]), images)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_embedding_keeps_groups_together(method):
    random = np.random.default_rng(0)
    centers = 30 * random.normal(size=(3, 20))
    labels = np.arange(60) % 3
    found = embed(centers[labels] + random.normal(size=(60, 20)), method=method)
    assert found.shape == (60, 2)
    assert found.dtype == np.float32
    distances = np.linalg.norm(found[:, None] - found[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_array_equal(labels[distances.argmin(axis=1)], labels)


def test_embedding_of_few_images(digits_run, validation):
    images = validation.images.array[:3]
    assert embedding(digits_run, images).shape == (3, 2)
    assert embedding(digits_run, images, method="tsne").shape == (3, 2)
    with pytest.raises(DataError, match="at least 3 images, not 2"):
        embedding(digits_run, images[:2])
    with pytest.raises(UnknownNameError, match="tsne"):
        embed(np.zeros((5, 3)), method="t-sne")
    with pytest.raises(DataError, match="NaN"):
        embed(np.full((5, 3), np.nan))


def test_missing_umap_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(DataError, match="umap-learn"):
        embed(np.random.default_rng(0).normal(size=(5, 3)), method="umap")


def test_plot_of_an_embedding_is_legible():
    random = np.random.default_rng(0)
    positions, labels = random.normal(size=(50, 2)), np.arange(50) % 3
    thumbnails = random.integers(0, 256, (50, 8, 8, 1), np.uint8)
    assert_legible(plot_embedding(positions, labels, ["a", "b$", "c"], thumbnails))


def test_nearest_neighbor_of_a_copy_is_the_original(digits_run, tmp_path):
    source = open_source(None, digits_run.recipe.data)
    train = source.split("train")
    position = int(train.positions[7])
    found = nearest_training_images(digits_run, [f"train[{position}]", train.images.array[position]], 3)
    assert found.columns.tolist() == ["query", "file", "position", "class", "distance"]
    assert found.groupby("query").size().tolist() == [3, 3]
    for _, rows in found.groupby("query"):
        first = rows.iloc[0]
        assert (first["file"], first["position"]) == (f"train[{position}]", position)
        assert first["class"] == source.class_names[train.labels[7]]
        assert first["distance"] == pytest.approx(0, abs=1e-5)
        assert (np.diff(rows["distance"]) >= 0).all()
    Image.fromarray(train.images.array[position][..., 0]).save(tmp_path / "copy.png")
    of_file = nearest_training_images(digits_run, tmp_path / "copy.png", 1)
    assert of_file["position"].tolist() == [position]


def test_queries_that_cannot_be_read_are_named(digits_run):
    with pytest.raises(DataError, match=r"train\[99999\]"):
        nearest_training_images(digits_run, "train[99999]")
    with pytest.raises(DataError, match="n = 0"):
        nearest_training_images(digits_run, "train[0]", 0)

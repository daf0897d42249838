"""Rectangular images (`data.image_size = [height, width]`), from file to prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from adaptation import NARROW
from PIL import Image

import cnnrecipes as cr
from cnnrecipes import models
from cnnrecipes.data import batching
from cnnrecipes.data.images.decode import covering_shape, decode, resize
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.recipe import catalog
from cnnrecipes.runs.trained_model import Artifact

SIZE = (16, 24)
MEAN = Statistics((120.0,) * 3, (60.0,) * 3)
HOW = [{"data.resize": "crop"}, {"data.resize": "pad"}, {"data.short_side": 20}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Twenty photos of noise, landscape and portrait, in two classes."""
    random, root = np.random.default_rng(0), tmp_path_factory.mktemp("oblong")
    for i in range(20):
        path = root / "ab"[i % 2] / f"{i:02}.{'jpg' if i % 3 else 'png'}"
        path.parent.mkdir(exist_ok=True)
        shape = (*random.integers(12, 60, 2), 3)
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(path)
    return root


def recipe(folder, **changes):
    small = {"data.name": str(folder), "data.image_size": list(SIZE), "data.batch_size": 8, "model.name": "resnet8"}
    return catalog.load("photos_from_scratch").change(**{**small, "data.validation": 0.3, **changes})


@pytest.mark.parametrize("shape", [(16, 24), (32, 48), (48, 72), (90, 24), (17, 100), (5, 5)])
@pytest.mark.parametrize("short_side", [None, 16, 20])
def test_covering_shape_is_the_smallest_with_the_same_aspect_ratio(shape, short_side):
    target = np.array(SIZE) * (short_side or 16) / 16
    found = covering_shape(tf.constant(shape), SIZE, short_side).numpy()
    scale = max(target / shape)
    np.testing.assert_allclose(found, np.array(shape) * scale, atol=0.5)
    assert (found >= SIZE).all()
    assert np.isclose(found, target, atol=0.5).any()


def test_covering_shape_of_a_square_size_scales_the_short_side():
    for shape in [(20, 31), (31, 20), (7, 7), (333, 500)]:
        expected = np.round(np.array(shape) * 224 / min(shape))
        np.testing.assert_array_equal(covering_shape(tf.constant(shape), (224, 224)), expected)


@pytest.mark.parametrize("how", ["crop", "pad"])
def test_resize_keeps_images_of_the_size_and_centers_others(how):
    image = np.random.default_rng(1).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize(tf.constant(image), SIZE, how), image)
    larger = np.pad(image, [(0, 0), (4, 4), (0, 0)] if how == "crop" else [(0, 0), (0, 0), (0, 0)])
    np.testing.assert_array_equal(resize(tf.constant(larger), SIZE, how), image)
    low = image[:8]  # as wide as the target, so that pad leaves it unchanged and crop enlarges it
    padded = resize(tf.constant(low), SIZE, how).numpy()
    assert padded.shape == (*SIZE, 3)
    if how == "pad":
        np.testing.assert_array_equal(padded[4:12], low)
        assert not padded[:4].any()
        assert not padded[12:].any()


@pytest.mark.parametrize("how", HOW)
def test_predictions_on_files_are_bit_identical_to_validation(folder, how):
    """Compared with Keras' forward pass over the pipeline's batches, from files and from the cache."""
    spec = recipe(folder, **how)
    source = open_source(None, spec.data)
    split = source.split("validation")
    model = models.build(spec.model, input_shape=(*SIZE, 3), classes=2, mean=MEAN.mean, std=MEAN.std)
    artifact = Artifact(model, spec, source.class_names)
    batches = batching.evaluation_batches(split, spec.data, 2).map(lambda images, labels, weights: images)
    assert batches.element_spec.shape[1:] == (*SIZE, 3)
    cached = batching.evaluation_batches(split, recipe(folder, **how, **{"data.cache": "memory"}).data, 2)
    for one, other in zip(batches, cached, strict=True):
        np.testing.assert_array_equal(one, other[0])
    paths = [split.images.items[i] for i in split.positions]
    expected = artifact.logits(next(iter(batches)).numpy()[: len(split)])
    np.testing.assert_array_equal(
        artifact.logits(artifact._fitted([decode(Path(p).read_bytes(), 3).numpy() for p in paths])), expected
    )
    probabilities = [[p.probabilities[name] for name in "ab"] for p in artifact.predict(paths)]
    np.testing.assert_array_equal(np.float32(probabilities), artifact.probabilities(list(paths)))
    for tta in ("flip_lr", "ten_crop", "shift(2)", "multi_scale([16, 20])"):
        assert 0 <= artifact.predict(paths[0], tta=tta).probability <= 1


@pytest.mark.parametrize(
    "ops",
    [
        ["random_resized_crop", "flip_lr", "trivial_augment", "mixup(0.2)", "cutmix"],
        ["random_crop", "pad_crop(4)", "rotate(90)", "cutout(8)", "flip_ud"],
        ["random_crop(short_side=[18, 30])", "random_erasing", "aug_mix(depth=1)"],
    ],
)
def test_augmented_batches_have_the_rectangular_size(folder, ops):
    spec = recipe(folder, **{"augment.ops": ops, "train.epochs": 2})
    split = open_source(None, spec.data).split("train")
    kept = recipe(folder, **{"augment.ops": ops, "train.epochs": 2, "data.cache": "memory"})
    streams = [batching.training_batches(split, one, MEAN, 2).as_numpy_iterator() for one in (spec, kept)]
    for (images, labels), (again, _) in zip(*streams, strict=True):
        assert images.shape == (8, *SIZE, 3)
        assert labels.shape == (8, 2)
        np.testing.assert_array_equal(images, again)


def test_fit_evaluate_predict_and_plot_rectangular_images(folder, tmp_path):
    changes = {"data.image_size": list(SIZE), "data.batch_size": 8, **NARROW, "train.epochs": 1}
    changes["model.name"] = "resnet8"
    run = cr.fit("photos_from_scratch", folder, workdir=tmp_path, progress=False, **changes)
    assert run.recipe.data.image_size == SIZE
    assert run.model.input_shape == (None, *SIZE, 3)
    assert cr.load(run.folder).evaluate() == run.metrics["validation"]
    assert run.evaluate(folder)["n"] == 20
    assert len(cr.load(run.folder / "model.keras").predict(folder)) == 20
    spec = catalog.load("photos_from_scratch").change(**changes)
    cr.analysis.plot_batch(spec, data=str(folder), images=4, path=tmp_path / "batch.png")
    with Image.open(tmp_path / "batch.png") as picture:
        assert picture.size[0] > 100
    found = cr.analysis.inspect(run.model, tmp_path / "inspect")
    assert all(path.stat().st_size for path in found.files)

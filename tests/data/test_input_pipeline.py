"""`InputPipeline`: data opened once, batches, messages, and the fingerprint of the training data."""

from __future__ import annotations

import numpy as np
import pytest

from cnnrecipes.data import augmentation, batching, input_pipeline
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(40) % 2
NAMES = ["cat", "dog"]


def recipe(**changes) -> Recipe:
    small = {"data.batch_size": 8, "data.image_size": 8, "data.validation": 0.25, "augment.ops": ["flip_lr", "mixup"]}
    return catalog.load("resnet20_cifar").change(**{**small, **changes})


def opened(images=IMAGES, labels=LABELS, names=NAMES, say=lambda text: None, **changes) -> InputPipeline:
    data = {"train": (images, labels), "class_names": names}
    return InputPipeline.open(recipe(**changes), data, say)


def changed(array: np.ndarray, place: int, value) -> np.ndarray:
    copy = array.copy()
    copy[place] = value
    return copy


def assert_equal_batches(one, other):
    for batch, expected in zip(one, other, strict=True):
        for found, wanted in zip(batch, expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_data_is_opened_once(monkeypatch):
    calls, real = [], input_pipeline.open_readable
    monkeypatch.setattr(
        input_pipeline, "open_readable", lambda *given, **options: calls.append(given) or real(*given, **options)
    )
    with opened() as pipeline:
        list(pipeline.training_batches(0, 2))
        list(pipeline.evaluation_batches("validation"))
        pipeline.batch(1)
        pipeline.fingerprint()
        assert pipeline.image_shape == (8, 8, 3)
    assert len(calls) == 1


def test_images_and_steps_per_split():
    with opened() as pipeline:
        assert pipeline.class_names == ("cat", "dog")
        assert {name: pipeline.images(name) for name in ("train", "validation", "test")} == {
            "train": 30,
            "validation": 10,
            "test": 0,
        }
        assert pipeline.images("train", "validation", "test") == 40
        assert (pipeline.steps_per_epoch, pipeline.images_per_step) == (3, 8)
        assert pipeline.evaluation_steps("validation") == 1
    with opened(**{"data.batch_size": 100}) as pipeline:
        assert (pipeline.steps_per_epoch, pipeline.images_per_step) == (1, 30)


@pytest.mark.parametrize("shard", [(0, 1), (1, 2)])
def test_batches_equal_those_of_batching(shard):
    with opened(**{"augment.device": "host", "augment.ops": ["flip_lr"]}) as pipeline:
        parts = (pipeline.train, pipeline.recipe, pipeline.statistics, 2)
        expected = batching.training_batches(*parts, first_step=2, last_step=5, shard=shard)
        assert_equal_batches(pipeline.training_batches(2, 5, shard).as_numpy_iterator(), expected.as_numpy_iterator())
        held_out = batching.evaluation_batches(
            pipeline.source.split("validation"), pipeline.recipe.data, 2, shard=shard
        )
        assert_equal_batches(
            pipeline.evaluation_batches("validation", shard).as_numpy_iterator(), held_out.as_numpy_iterator()
        )


@pytest.mark.parametrize("device", ["host", "accelerator"])
def test_single_batch_is_augmented_and_equals_that_of_its_step(device):
    with opened(**{"augment.device": "host"}) as pipeline:
        expected = list(pipeline.training_batches(0, 5).as_numpy_iterator())[4]
    with opened(**{"augment.device": device}) as pipeline:
        assert_equal_batches([pipeline.batch(4)], [expected])


def test_pipelines_of_other_steps_and_seeds_trace_the_augmentation_once(monkeypatch):
    traced, real = [], augmentation.augment
    monkeypatch.setattr(
        augmentation, "augment", lambda *given, **options: traced.append(options) or real(*given, **options)
    )
    with opened(**{"augment.device": "host"}) as pipeline:
        again = pipeline.with_recipe(pipeline.recipe.change(**{"train.seed": 7}))
        found = [pipeline.batch(4), pipeline.batch(2), again.batch(2)]
        assert len(traced) == 1
        other = pipeline.with_recipe(pipeline.recipe.change(**{"augment.ops": ["flip_lr(0.25)"]}))
        found.append(other.batch(2))
        assert len(traced) == 2
        # Each equals the batch of a pipeline that traced for itself.
        alone = [InputPipeline(pipeline.source, one.recipe) for one in (pipeline, pipeline, again, other)]
        assert_equal_batches(found, [one.batch(step) for one, step in zip(alone, (4, 2, 2, 2), strict=True)])
    assert np.any(found[1][0] != found[2][0])


def test_fingerprint_is_reproducible_and_names_the_training_data():
    found = opened().fingerprint()
    assert found == opened().fingerprint()
    assert (found["class_names"], found["training_images"]) == (NAMES, 30)


@pytest.mark.parametrize(
    ("part", "keys"),
    [
        ({"images": lambda place: changed(IMAGES, place, 255 - IMAGES[place])}, {"sample_of_images"}),
        ({"labels": lambda place: changed(LABELS, place, 1 - LABELS[place])}, {"training_labels"}),
        ({"names": lambda place: ["cat", "fox"]}, {"class_names"}),
    ],
    ids=["image", "label", "class name"],
)
def test_fingerprint_changes_with_image_label_and_class_name(part, keys):
    """The first and the last training image are in the sample; without a validation split all images are training."""
    whole = {"data.validation": 0.0}
    before = opened(**whole).fingerprint()
    for place in (0, 39):
        after = opened(**whole, **{name: make(place) for name, make in part.items()}).fingerprint()
        differing = {key for key in before if before[key] != after[key]}
        assert differing == keys


def test_few_validation_images_are_reported_if_they_select_the_epoch():
    def notes(**changes):
        said: list[str] = []
        opened(say=said.append, **changes)
        return [line for line in said if "validation images select the best epoch" in line]

    assert "10 validation images" in notes()[0]
    assert "one image is 10% of its accuracy" in notes()[0]
    assert not notes(**{"train.artifact": "last"})
    assert notes(**{"train.artifact": "last", "train.early_stopping": 2})
    assert not notes(**{"data.validation": 0.5})
    assert not notes(**{"data.validation": 0.0})


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({}, "Set data.validation higher, or set train.artifact=last"),
        ({"transfer.how": "features"}, "Set data.validation higher, or to 0 for cross-validation"),
        ({"data.folds": 5}, "Set data.folds lower, or set train.artifact=last"),
    ],
)
def test_remedy_for_few_validation_images_is_the_key_that_decides_on_them(changes, remedy):
    said: list[str] = []
    opened(say=said.append, **changes)
    assert any(line.endswith(f"the selection is mostly random. {remedy}") for line in said)


def test_data_with_an_own_validation_split_needs_more_images():
    said: list[str] = []
    data = {"train": (IMAGES, LABELS), "validation": (IMAGES[:6], LABELS[:6])}
    InputPipeline.open(recipe(), data, said.append)
    remedy = "The data has its own validation split: give it more images, or set train.artifact=last"
    assert any(line.endswith(remedy) for line in said)


def test_batch_size_above_the_number_of_images_is_reported():
    said: list[str] = []
    opened(say=said.append, **{"data.batch_size": 100})
    assert any("data.batch_size = 100 exceeds" in line and "all 30" in line for line in said)

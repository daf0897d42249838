"""`FeaturePipeline`: the images' order at every step, views by epoch, labels and weights of evaluation."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from adaptation import NARROW, SMALL, write_photos

import cnnrecipes as cr
from cnnrecipes.data.batch_sampler import training_examples
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.errors import RecipeError
from cnnrecipes.recipe import catalog
from cnnrecipes.transfer.feature_cache import features
from cnnrecipes.transfer.feature_pipeline import FeaturePipeline
from cnnrecipes.transfer.split_model import SplitModel


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), train=22, validation=20)


def opened(photos, **changes) -> tuple[InputPipeline, FeaturePipeline, keras.Model]:
    """Images, their features, and the frozen model."""
    settings = {**SMALL, "data.batch_size": 8, "data.standardize": "imagenet", "train.epochs": 4, **changes}
    pipeline = InputPipeline.open(catalog.load("resnet20_cifar").change(**settings), str(photos))
    keras.utils.set_random_seed(0)
    narrow = {key.removeprefix("model."): value for key, value in NARROW.items()}
    frozen = SplitModel.before_head(cr.build("resnet8", **narrow, **pipeline.for_model)).frozen
    return pipeline, FeaturePipeline(pipeline, frozen), frozen


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"data.balance": "sampling"},
        {"data.balance": "class_weights", "train.seed": 7},
        {"augment.repeats": 2},
        {"data.batch_size": 100},
    ],
)
def test_batches_are_the_features_of_the_images_of_each_step(photos, changes):
    """From a step within an epoch into the next but one, as a whole and in two shards."""
    images, pipeline, frozen = opened(photos, **changes)
    first, last = 1, 2 * images.steps_per_epoch + 1
    shards = [(0, 1)] if images.images_per_step % 2 else [(0, 1), (0, 2), (1, 2)]
    for shard in shards:
        found = pipeline.training_batches(first, last, shard)
        expected = images.training_batches(first, last, shard)
        assert int(found.cardinality()) == last - first
        for (rows, labels), (pixels, true) in zip(found, expected, strict=True):
            np.testing.assert_array_equal(labels, true)
            np.testing.assert_allclose(rows, frozen(pixels, training=False), atol=1e-5)


def test_an_epoch_has_one_view_and_the_views_take_turns(photos):
    changes = {"transfer.views": 2, "augment.ops": ["random_resized_crop", "flip_lr"]}
    images, pipeline, frozen = opened(photos, **changes)
    views = [features(frozen, images, "train", view) for view in (None, 0, 1)]
    assert np.abs(views[0] - views[1]).max() > 1e-3 < np.abs(views[1] - views[2]).max()
    per_epoch = images.steps_per_epoch
    examples = training_examples(images.train, images.recipe, 3, first_step=0, last_step=4 * per_epoch)
    found = pipeline.training_batches(0, 4 * per_epoch)
    for step, ((rows, _), (_, index, _)) in enumerate(zip(found, examples, strict=True)):
        np.testing.assert_array_equal(rows, views[step // per_epoch % 3][index.numpy()])


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("shard", [(0, 1), (0, 3), (2, 3)])
def test_evaluation_has_the_features_labels_and_weights_of_the_images(photos, split, shard):
    images, pipeline, frozen = opened(photos)
    found, expected = (each.evaluation_batches(split, shard) for each in (pipeline, images))
    assert int(found.cardinality()) == pipeline.evaluation_steps(split, shard[1])
    for (rows, labels, weights), (pixels, true, same) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(labels, true)
        np.testing.assert_array_equal(weights, same)
        np.testing.assert_allclose(rows, frozen(pixels, training=False), atol=1e-5)


def test_half_precision_features_are_trained_in_single_precision(photos):
    _, pipeline, _ = opened(photos, **{"transfer.features_dtype": "float16"})
    assert pipeline.views[0].dtype == np.float16
    (rows, _), *_ = pipeline.training_batches(0, 1).as_numpy_iterator()
    assert rows.dtype == np.float32


def test_other_recipe_keeps_data_and_features(photos):
    images, pipeline, _ = opened(photos)
    longer = pipeline.with_recipe(images.recipe.change(**{"train.epochs": 9}))
    assert longer.recipe.train.epochs == 9
    np.testing.assert_array_equal(longer.views[0], pipeline.views[0])
    assert pipeline.fingerprint() == images.fingerprint()
    for one, other in zip(longer.batch(3), images.batch(3), strict=True):
        np.testing.assert_array_equal(one, other)


def test_batches_that_do_not_divide_among_devices_are_refused(photos):
    _, pipeline, _ = opened(photos)
    pipeline.check(4)
    with pytest.raises(RecipeError, match="does not divide into 3 shards"):
        pipeline.check(3)

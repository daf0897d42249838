"""`plot_batch` shows training batches before and after augmentation."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import imread

from cnnrecipes import analysis
from cnnrecipes.augment.operation import OPERATIONS
from cnnrecipes.data import batching
from cnnrecipes.data.channel_statistics import split_statistics
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.errors import CNNRecipesError, RecipeError
from cnnrecipes.recipe import catalog

OPS = ["pad_crop(2, 0)", "flip_lr", "cutout(8, 0)"]  # no colors computed from the training split
CHANGES = {"data.image_size": 32, "data.batch_size": 10, "augment.ops": OPS}


def shown(figure):
    """The images of a figure, row by row, and their titles."""
    axes = [one for one in figure.axes if one.images]
    return [np.asarray(one.images[0].get_array()) for one in axes], [one.get_title() for one in axes]


def test_last_row_is_the_training_batch(flowers):
    figure = analysis.plot_batch("photos_from_scratch", data=flowers, images=6, step=3, **CHANGES)
    pictures, titles = shown(figure)
    recipe = catalog.load("photos_from_scratch").change(**CHANGES)
    source = open_source(flowers, recipe.data)
    train = source.split("train")
    found = split_statistics(train, recipe.data)
    batches = batching.training_batches(train, recipe, found, 5, first_step=3, last_step=4)
    images, labels = next(batches.as_numpy_iterator())
    assert len(pictures) == 12
    np.testing.assert_allclose(np.stack(pictures[6:]), images[:6] / 255)
    assert titles == 2 * [source.class_names[label] for label in labels[:6].argmax(1)]


def test_per_op_adds_a_row_for_every_operation(flowers, tmp_path):
    path = tmp_path / "batch.png"
    ops = ["random_resized_crop", "flip_lr", "color_jitter", "mixup(1.0)"]
    changes = {**CHANGES, "augment.ops": ops}
    figure = analysis.plot_batch("photos_from_scratch", data=flowers, images=4, per_op=True, path=path, **changes)
    pictures, titles = shown(figure)
    assert len(pictures) == 20
    assert all("%" in title for title in titles[-4:])
    assert not any("%" in title for title in titles[:-4])
    assert imread(path).shape[0] > 300


def test_grayscale_images_are_shown():
    pictures, titles = shown(analysis.plot_batch("resnet8_digits", images=3))
    assert len(pictures) == 6
    assert set(titles) <= set("0123456789")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"step": -1}, RecipeError, "step is -1, .*; this training has steps 0 to"),
        ({"step": 10**9}, RecipeError, "step is 1000000000"),
        ({"images": 0}, RecipeError, "images is 0"),
        ({"path": "batch.gif"}, CNNRecipesError, "batch.gif.*suffix"),
    ],
)
def test_invalid_options_raise(options, error, words):
    with pytest.raises(error, match=words):
        analysis.plot_batch("resnet8_digits", **options)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_can_be_shown(name):
    pictures, _ = shown(
        analysis.plot_batch("resnet8_digits", images=2, **{"augment.ops": [name], "data.batch_size": 4})
    )
    assert len(pictures) == 4

"""Random resized crops and random crops of files and of arrays, compared with Pillow and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cnnrecipes.augment import boxes
from cnnrecipes.augment.operation import parse
from cnnrecipes.data import batching
from cnnrecipes.data.images import random_crop
from cnnrecipes.data.images.decode import choose_route, decode
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.errors import RecipeError
from cnnrecipes.recipe import catalog

RANDOM = np.random.default_rng(5)
MEAN = Statistics((120.0,) * 3, (60.0,) * 3)


@pytest.mark.parametrize("text", ["random_resized_crop", "random_crop", "random_crop(short_side=[70, 90])"])
def test_crop_of_a_file_equals_the_crop_of_the_decoded_image(text, hymenoptera):
    op = parse(text)
    for path in sorted(hymenoptera.rglob("*.jpg"))[::60]:
        content = path.read_bytes()
        draws = tf.constant(RANDOM.random(op.draws, np.float32))
        from_file = random_crop.crop_file(tf.constant(content), choose_route(content), draws, op, (64, 64), 3)
        np.testing.assert_array_equal(from_file, random_crop.crop_image(decode(content, 3), draws, op, (64, 64)))


def test_random_resized_crop_is_the_resampled_box(hymenoptera):
    op = parse("random_resized_crop")
    for path in sorted(hymenoptera.rglob("*.jpg"))[::80]:
        image = decode(path.read_bytes(), 3)
        draws = tf.constant(RANDOM.random((1, boxes.DRAWS), np.float32))
        top, left, rows, columns, _ = (int(n[0]) for n in boxes.choose_box(draws, *image.shape[:2], op.scale, op.ratio))
        box = image[top : top + rows, left : left + columns]
        np.testing.assert_array_equal(
            random_crop.crop_image(image, draws[0], op, (48, 48)), random_crop.resample(box, (48, 48))
        )


def area_weights(length, size):
    """(size, length): the share of each pixel in each of `size` equal parts."""
    edges = np.arange(size + 1) * length / size
    starts = np.arange(length)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return np.maximum(overlap, 0) * size / length


@pytest.mark.parametrize("shape", [(100, 100), (33, 90), (64, 32), (320, 77)])
def test_downsampling_averages_over_areas(shape):
    part = RANDOM.integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = np.einsum("hr,rcx,wc->hwx", area_weights(shape[0], 32), part.astype(float), area_weights(shape[1], 32))
    assert np.abs(random_crop.resample(tf.constant(part), (32, 32)).numpy() - expected).max() < 0.502


@pytest.mark.parametrize("shape", [(20, 25), (9, 31), (32, 31)])
def test_upsampling_matches_pillow_bilinear(shape):
    part = RANDOM.integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(part).resize((32, 32), Image.Resampling.BILINEAR), int)
    assert np.abs(random_crop.resample(tf.constant(part), (32, 32)).numpy() - expected).max() <= 1


def test_random_crop_is_a_part_of_the_resized_image():
    image = RANDOM.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    resized = np.asarray(tf.image.resize(image, (40, 56), antialias=True))
    for _ in range(10):
        draws = RANDOM.random(3).astype(np.float32)
        found = random_crop.crop_image(
            tf.constant(image), tf.constant(draws), parse("random_crop(short_side=40)"), (32, 32)
        )
        top, left = int(draws[1] * 9), int(draws[2] * 25)
        assert np.abs(found.numpy() - resized[top : top + 32, left : left + 32]).max() <= 0.51


def test_short_side_is_drawn_uniformly_including_both_ends():
    op, draws = parse("random_crop(short_side=[5, 7])"), np.linspace(0, 0.9999999, 300, dtype=np.float32)
    sides = [int(op.choose_short_side(tf.constant(draw), 4)) for draw in draws]
    assert np.bincount(sides).tolist() == [0] * 5 + [100] * 3
    assert parse("random_crop").choose_short_side(None, 224) == 256


def test_arrays_are_cropped_by_their_own_draws():
    images = RANDOM.integers(0, 256, (6, 20, 24, 3), dtype=np.uint8)
    op, draws = parse("random_resized_crop"), RANDOM.random((6, boxes.DRAWS)).astype(np.float32)
    together = random_crop.crop_batch(tf.constant(images), tf.constant(draws), op, (16, 16)).numpy()
    for image, draw, cropped in zip(images, draws, together, strict=True):
        np.testing.assert_array_equal(
            random_crop.crop_image(tf.constant(image), tf.constant(draw), op, (16, 16)), cropped
        )


def batches(data, **changes):
    recipe = catalog.load("photos_from_scratch").change(**{"data.image_size": 32, "data.batch_size": 12, **changes})
    split = open_source(data, recipe.data).split("train")
    return [images for images, _ in batching.training_batches(split, recipe, MEAN, 5, last_step=2).as_numpy_iterator()]


def test_repeated_augmentation_crops_each_repeat_differently(flowers):
    plain = batches(flowers, **{"augment.ops": [], "augment.repeats": 3})
    for images in plain:
        assert len(np.unique(images.reshape(12, -1), axis=0)) == 4
        np.testing.assert_array_equal(images[:4], images[4:8])
    cropped = batches(flowers, **{"augment.ops": ["random_resized_crop"], "augment.repeats": 3})
    assert len(np.unique(cropped[0].reshape(12, -1), axis=0)) == 12


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"augment.ops": ["random_resized_crop(48)"]}, r"crops to 48 pixels, the images are \(32, 32\)"),
        ({"augment.repeats": 5}, "repeats = 5 does not divide a batch of 12"),
    ],
)
def test_incompatible_crop_size_or_repeats_raise_before_training(flowers, changes, words):
    with pytest.raises(RecipeError, match=words):
        batches(flowers, **changes)

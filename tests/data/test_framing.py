"""Random resized crops and random crops: of files, of arrays, and against Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cnnrecipes import catalog
from cnnrecipes.data import boxes, framing, pipeline
from cnnrecipes.data.images import choose_route, decode
from cnnrecipes.data.sources import open_source
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.errors import RecipeError
from cnnrecipes.operations import parse

RANDOM = np.random.default_rng(5)
MEAN = Statistics((120.0,) * 3, (60.0,) * 3)


@pytest.mark.parametrize("text", ["random_resized_crop", "random_crop", "random_crop(short_side=[70, 90])"])
def test_a_framed_file_is_the_framed_image(text, hymenoptera):
    op = parse(text)
    for path in sorted(hymenoptera.rglob("*.jpg"))[::60]:
        content = path.read_bytes()
        draws = tf.constant(RANDOM.random(framing.DRAWS[type(op)], np.float32))
        from_file = framing.frame_file(tf.constant(content), choose_route(content), draws, op, (64, 64), 3)
        np.testing.assert_array_equal(from_file, framing.frame(decode(content, 3), draws, op, (64, 64)))


def test_a_random_resized_crop_is_pillows_resized_box(hymenoptera):
    op = parse("random_resized_crop")
    for path in sorted(hymenoptera.rglob("*.jpg"))[::80]:
        image = decode(path.read_bytes(), 3)
        draws = tf.constant(RANDOM.random((1, boxes.DRAWS), np.float32))
        top, left, rows, columns, _ = (int(n[0]) for n in boxes.choose_box(draws, *image.shape[:2], op.scale, op.ratio))
        found = framing.frame(image, draws[0], op, (48, 48)).numpy().astype(int)
        box = Image.fromarray(image.numpy()).crop((left, top, left + columns, top + rows))
        expected = np.asarray(box.resize((48, 48), Image.Resampling.BILINEAR), int)
        # Pillow computes in whole numbers, in two rounded passes.
        assert np.abs(found - expected).max() <= 1


def test_a_random_crop_is_a_part_of_the_resized_image():
    image = RANDOM.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    resized = np.asarray(tf.image.resize(image, (40, 56), antialias=True))
    for _ in range(10):
        draws = RANDOM.random(3).astype(np.float32)
        found = framing.frame(tf.constant(image), tf.constant(draws), parse("random_crop(short_side=40)"), (32, 32))
        top, left = int(draws[1] * 9), int(draws[2] * 25)
        assert np.abs(found.numpy() - resized[top : top + 32, left : left + 32]).max() <= 0.51


def test_the_short_side_is_drawn_from_both_ends_of_its_range():
    op, draws = parse("random_crop(short_side=[5, 7])"), np.linspace(0, 0.9999999, 300, dtype=np.float32)
    sides = [int(framing._short_side(tf.constant(draw), op, 4)) for draw in draws]
    assert np.bincount(sides).tolist() == [0] * 5 + [100] * 3
    assert framing._short_side(None, parse("random_crop"), 224) == 256


def test_arrays_are_framed_each_by_its_own_draws():
    images = RANDOM.integers(0, 256, (6, 20, 24, 3), dtype=np.uint8)
    op, draws = parse("random_resized_crop"), RANDOM.random((6, boxes.DRAWS)).astype(np.float32)
    together = framing.frame_batch(tf.constant(images), tf.constant(draws), op, (16, 16)).numpy()
    for image, draw, framed in zip(images, draws, together, strict=True):
        np.testing.assert_array_equal(framing.frame(tf.constant(image), tf.constant(draw), op, (16, 16)), framed)


def batches(data, **changes):
    recipe = catalog.load("resnet20_photos").change(**{"data.image_size": 32, "data.batch_size": 12, **changes})
    split = open_source(data, recipe.data).split("train")
    return [images for images, _ in pipeline.training_batches(split, recipe, MEAN, 5, last_step=2).as_numpy_iterator()]


def test_repeats_show_fewer_images_more_often_each_time_otherwise(flowers):
    plain = batches(flowers, **{"augment.ops": [], "augment.repeats": 3})
    for images in plain:
        assert len(np.unique(images.reshape(12, -1), axis=0)) == 4
        np.testing.assert_array_equal(images[:4], images[4:8])
    framed = batches(flowers, **{"augment.ops": ["random_resized_crop"], "augment.repeats": 3})
    assert len(np.unique(framed[0].reshape(12, -1), axis=0)) == 12


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"augment.ops": ["random_resized_crop(48)"]}, r"frames to 48 pixels, the images are \(32, 32\)"),
        ({"augment.repeats": 5}, "repeats = 5 does not divide a batch of 12"),
    ],
)
def test_what_does_not_fit_is_said_before_training(flowers, changes, words):
    with pytest.raises(RecipeError, match=words):
        batches(flowers, **changes)

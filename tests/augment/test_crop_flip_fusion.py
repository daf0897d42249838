"""Crops, flips and cutout against NumPy with given draws; properties of all operations."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cnnrecipes.augment import crop_flip_fusion
from cnnrecipes.augment.apply import augment
from cnnrecipes.augment.operation import OPERATIONS, CropWhileDecoding, Mix, parse

MEAN = (10.4, 20.6, 30.0)
IMAGES = np.random.default_rng(0).integers(0, 256, (25, 6, 7, 3), dtype=np.uint8)


def numpy_pad(image, padding, fill):
    width = [(padding, padding), (padding, padding), (0, 0)]
    if fill == "reflect":
        return np.pad(image, width, "reflect")
    color = np.round(MEAN) if fill == "mean" else [fill] * 3
    return np.stack([np.pad(image[..., c], width[:2], constant_values=color[c]) for c in range(3)], -1)


@pytest.mark.parametrize("fill", ["mean", "reflect", 0, 200])
def test_pad_crop_matches_numpy_pad_and_slice(fill):
    op = parse(f"pad_crop(2, fill={fill!r})")
    offsets = np.stack(np.meshgrid(range(5), range(5)), -1).reshape(25, 2)
    draws = tf.constant((offsets + 0.5) / 5, tf.float32)
    result = op.apply(tf.constant(IMAGES), draws, MEAN)
    for image, (top, left), cropped in zip(IMAGES, offsets, result.numpy(), strict=True):
        np.testing.assert_array_equal(cropped, numpy_pad(image, 2, fill)[top : top + 6, left : left + 7])


def test_flip_lr_mirrors_below_the_probability():
    draws = tf.constant(np.linspace(0, 0.96, 25)[:, None], tf.float32)
    result = parse("flip_lr(0.3)").apply(tf.constant(IMAGES), draws, MEAN).numpy()
    for image, drawn, flipped in zip(IMAGES, draws.numpy()[:, 0], result, strict=True):
        np.testing.assert_array_equal(flipped, image[:, ::-1] if drawn < 0.3 else image)


@pytest.mark.parametrize(("size", "fill"), [(3, "mean"), (4, 0), (1, 255)])
def test_cutout_covers_one_clipped_square(size, fill):
    centers = np.random.default_rng(1).integers(0, (6, 7), (25, 2))
    draws = tf.constant((centers + 0.5) / (6, 7), tf.float32)
    op = parse(f"cutout({size}, fill={fill!r})")
    result = op.apply(tf.constant(IMAGES), draws, MEAN).numpy()
    for image, (row, column), covered in zip(IMAGES, centers, result, strict=True):
        top, left = row - size // 2, column - size // 2
        expected = image.copy()
        expected[max(top, 0) : top + size, max(left, 0) : left + size] = np.round(MEAN) if fill == "mean" else fill
        np.testing.assert_array_equal(covered, expected)


def test_flip_ud_flips_vertically():
    flipped = parse("flip_ud(1)").apply(tf.constant(IMAGES), tf.zeros((25, 1)), MEAN)
    np.testing.assert_array_equal(flipped, IMAGES[:, ::-1])


@pytest.mark.parametrize(
    "ops",
    [
        ["pad_crop(3)", "flip_lr"],
        ["pad_crop(2, 'reflect')", "flip_ud", "flip_lr", "pad_crop(1, 9)", "cutout(3)", "cutout(4, 77)"],
        ["flip_lr", "pad_crop(2)", "alternating_flip_lr", "pad_crop(2)"],
        ["cutout(3)", "cutout(2, 5)"],
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_fused_moves_equal_consecutive_operations(ops, channels):
    images, mean = tf.constant(IMAGES[..., :channels]), MEAN[:channels]
    specs = [parse(text) for text in ops]
    draws = [tf.constant(np.random.default_rng(op.draws).random((25, op.draws), np.float32)) for op in specs]
    assert crop_flip_fusion.run_length(specs) == len(ops)
    expected = images
    for op, draw in zip(specs, draws, strict=True):
        expected = op.apply(expected, draw, mean)
    np.testing.assert_array_equal(crop_flip_fusion.move(images, specs, draws, mean), expected)


@pytest.mark.parametrize(
    ("ops", "length"),
    [
        (["flip_lr", "noise"], 1),
        (["noise", "flip_lr"], 0),
        (["cutout(3)", "flip_lr"], 1),
        (["pad_crop(1, 0)", "pad_crop(1, 1)"], 1),
        (["flip_lr", "cutout(3, 'noise')"], 1),
    ],
)
def test_operations_that_cannot_be_fused_end_a_run(ops, length):
    assert crop_flip_fusion.run_length([parse(text) for text in ops]) == length


EVERY = sorted(name for name, op in OPERATIONS.items() if not issubclass(op, (CropWhileDecoding, Mix)))
LISTS = [["pad_crop(2)", "flip_lr", "cutout(3)"], *[[name] for name in EVERY]]


def augmented(images, index, epoch=0, seed=0, ops=LISTS[0]):
    specs = [parse(text) for text in ops]
    return augment(tf.constant(images), specs, seed=seed, epoch=epoch, index=tf.constant(index), mean=MEAN).numpy()


@pytest.mark.parametrize("ops", LISTS, ids="-".join)
def test_augmentation_of_an_image_depends_on_its_index_only(ops):
    index = np.arange(25)
    order = np.random.default_rng(2).permutation(25)
    whole = augmented(IMAGES, index, ops=ops)
    assert (whole.shape, whole.dtype) == (IMAGES.shape, np.uint8)
    np.testing.assert_array_equal(augmented(IMAGES[order], index[order], ops=ops), whole[order])
    np.testing.assert_array_equal(augmented(IMAGES[7:8], index[7:8], ops=ops), whole[7:8])


@pytest.mark.parametrize("other", [{"epoch": 1}, {"seed": 1}])
def test_epochs_and_seeds_give_different_augmentations(other):
    index = np.arange(25)
    same = (augmented(IMAGES, index) == augmented(IMAGES, index, **other)).all(axis=(1, 2, 3))
    assert same.mean() < 0.2


def test_alternating_flip_alternates_between_epochs():
    images = np.broadcast_to(IMAGES[:1], (400, *IMAGES.shape[1:]))
    flipped = [
        (augmented(images, np.arange(400), epoch=epoch, ops=["alternating_flip_lr"]) != images).any((1, 2, 3))
        for epoch in range(4)
    ]
    assert 150 < flipped[0].sum() < 250
    for epoch in range(3):
        np.testing.assert_array_equal(flipped[epoch + 1], ~flipped[epoch])


@pytest.mark.parametrize(
    "ops", [LISTS[0], ["rand_augment", "noise"], ["color_jitter", "blur", "random_erasing"]], ids="-".join
)
def test_augmentation_is_identical_eagerly_and_in_tf_data(ops):
    specs = [parse(text) for text in ops]
    dataset = tf.data.Dataset.from_tensors((IMAGES, np.arange(25)))
    mapped = dataset.map(lambda images, index: augment(images, specs, seed=3, epoch=2, index=index, mean=MEAN))
    expected = augmented(IMAGES, np.arange(25), epoch=2, seed=3, ops=ops)
    np.testing.assert_array_equal(next(mapped.as_numpy_iterator()), expected)

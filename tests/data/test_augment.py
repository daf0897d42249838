"""Augmentation against NumPy, with the randomness given."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cnnrecipes.data import augment as module
from cnnrecipes.data.augment import augment, cutout, flip_lr, pad_crop
from cnnrecipes.operations import parse

MEAN = (10.4, 20.6, 30.0)
IMAGES = np.random.default_rng(0).integers(0, 256, (25, 6, 7, 3), dtype=np.uint8)


def numpy_pad(image, padding, fill):
    width = [(padding, padding), (padding, padding), (0, 0)]
    if fill == "reflect":
        return np.pad(image, width, "reflect")
    colour = np.round(MEAN) if fill == "mean" else [fill] * 3
    return np.stack([np.pad(image[..., c], width[:2], constant_values=colour[c]) for c in range(3)], -1)


@pytest.mark.parametrize("fill", ["mean", "reflect", 0, 200])
def test_pad_crop_is_a_pad_and_a_slice(fill):
    op = parse(f"pad_crop(2, fill={fill!r})")
    offsets = np.stack(np.meshgrid(range(5), range(5)), -1).reshape(25, 2)
    draws = tf.constant((offsets + 0.5) / 5, tf.float32)
    result = pad_crop(tf.constant(IMAGES), draws, op, MEAN)
    for image, (top, left), cropped in zip(IMAGES, offsets, result.numpy(), strict=True):
        np.testing.assert_array_equal(cropped, numpy_pad(image, 2, fill)[top : top + 6, left : left + 7])


def test_flip_mirrors_below_the_probability():
    draws = tf.constant(np.linspace(0, 0.96, 25)[:, None], tf.float32)
    result = flip_lr(tf.constant(IMAGES), draws, parse("flip_lr(0.3)"), MEAN).numpy()
    for image, drawn, flipped in zip(IMAGES, draws.numpy()[:, 0], result, strict=True):
        np.testing.assert_array_equal(flipped, image[:, ::-1] if drawn < 0.3 else image)


@pytest.mark.parametrize(("size", "fill"), [(3, "mean"), (4, 0), (1, 255)])
def test_cutout_covers_one_clipped_square(size, fill):
    centres = np.random.default_rng(1).integers(0, (6, 7), (25, 2))
    draws = tf.constant((centres + 0.5) / (6, 7), tf.float32)
    result = cutout(tf.constant(IMAGES), draws, parse(f"cutout({size}, fill={fill!r})"), MEAN).numpy()
    for image, (row, column), covered in zip(IMAGES, centres, result, strict=True):
        top, left = row - size // 2, column - size // 2
        expected = image.copy()
        expected[max(top, 0) : top + size, max(left, 0) : left + size] = np.round(MEAN) if fill == "mean" else fill
        np.testing.assert_array_equal(covered, expected)


OPS = [parse(text) for text in ("pad_crop(2)", "flip_lr", "cutout(3)")]


def augmented(images, index, epoch=0, seed=0):
    return augment(tf.constant(images), OPS, seed=seed, epoch=epoch, index=tf.constant(index), mean=MEAN).numpy()


def test_an_image_is_augmented_by_its_index_whatever_stands_beside_it():
    index = np.arange(25)
    order = np.random.default_rng(2).permutation(25)
    whole = augmented(IMAGES, index)
    np.testing.assert_array_equal(augmented(IMAGES[order], index[order]), whole[order])
    np.testing.assert_array_equal(augmented(IMAGES[7:8], index[7:8]), whole[7:8])


@pytest.mark.parametrize("other", [{"epoch": 1}, {"seed": 1}])
def test_another_epoch_or_seed_augments_otherwise(other):
    index = np.arange(25)
    same = (augmented(IMAGES, index) == augmented(IMAGES, index, **other)).all(axis=(1, 2, 3))
    assert same.mean() < 0.2


def test_eager_and_inside_tf_data_are_the_same():
    dataset = tf.data.Dataset.from_tensors((IMAGES, np.arange(25)))
    mapped = dataset.map(lambda images, index: augment(images, OPS, seed=3, epoch=2, index=index, mean=MEAN))
    np.testing.assert_array_equal(next(mapped.as_numpy_iterator()), augmented(IMAGES, np.arange(25), epoch=2, seed=3))


def test_every_operation_keeps_shape_and_type():
    for op in OPS:
        apply, count = module._APPLY[type(op)]
        result = apply(tf.constant(IMAGES), tf.fill((25, count), 0.5), op, MEAN)
        assert (result.shape, result.dtype) == (IMAGES.shape, tf.uint8)

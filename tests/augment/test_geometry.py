"""Affine maps, compared with Pillow and with exact rotations."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import ndimage

from cnnrecipes.augment import affine
from cnnrecipes.augment.operation import parse

RANDOM = np.random.default_rng(1)
SMOOTH = ndimage.gaussian_filter(RANDOM.integers(0, 256, (6, 31, 31, 3)).astype(float), (0, 2, 2, 0))
IMAGES = np.clip((SMOOTH - SMOOTH.mean()) * 6 + 128, 0, 255).astype(np.uint8)
BLACK = tf.constant(0, tf.uint8)


@pytest.mark.parametrize("interpolation", ["NEAREST", "BILINEAR"])
def test_quarter_turns_are_exact(interpolation):
    for quarters in range(4):
        angles = tf.fill([len(IMAGES)], 90.0 * quarters)
        turned = affine.affine(tf.constant(IMAGES), affine.rotation(angles), BLACK, interpolation)
        # The cosine of 90 degrees is not exactly 0, so that rotations may touch the border.
        np.testing.assert_array_equal(turned[:, 1:-1, 1:-1], np.rot90(IMAGES, quarters, (1, 2))[:, 1:-1, 1:-1])


@pytest.mark.parametrize("kind", ["rotate", "shear_x", "shear_y", "translate"])
@pytest.mark.parametrize("how", ["NEAREST", "BILINEAR"])
def test_affine_maps_match_pillow(kind, how):
    amounts = np.linspace(-1, 1, len(IMAGES)).astype(np.float32)
    zero = tf.zeros(len(IMAGES))
    maps = {
        "rotate": affine.rotation(tf.constant(amounts * 37)),
        "shear_x": affine.shearing(tf.constant(amounts * 0.29), zero),
        "shear_y": affine.shearing(zero, tf.constant(amounts * 0.29)),
        "translate": affine.translation(tf.constant(amounts * 5), tf.constant(amounts * -3.3)),
    }[kind].numpy()
    ours = affine.affine(tf.constant(IMAGES), tf.constant(maps), BLACK, how).numpy()
    center = np.full(2, 31 / 2)  # integer coordinates are the corners of Pillow's pixels and the centers of ours
    for image, found, matrix in zip(IMAGES, ours, maps.astype(float), strict=True):
        shift = matrix[:, 2] + center - matrix[:, :2] @ center
        data = (*matrix[0, :2], shift[0], *matrix[1, :2], shift[1])
        theirs = np.asarray(Image.fromarray(image).transform((31, 31), Image.AFFINE, data, Image.Resampling[how]))
        # Pixels half way between two others, or outside by less than one, may be rounded differently.
        inside = ndimage.binary_erosion((found > 0).all(-1) & (theirs > 0).all(-1), iterations=2, border_value=0)
        difference = np.abs(found.astype(int) - theirs)[inside]
        assert inside.sum() > 300
        assert np.mean(difference <= 1) > 0.995


def test_rotation_is_counterclockwise_and_translation_right_and_down():
    image = np.zeros((1, 9, 9, 1), np.uint8)
    image[0, 4, 8] = 255  # at the right
    up = affine.affine(tf.constant(image), affine.rotation(tf.constant([90.0])), BLACK).numpy()
    assert up[0, 0, 4, 0] == 255
    moved = affine.affine(
        tf.constant(image), affine.translation(tf.constant([-3.0]), tf.constant([2.0])), BLACK
    ).numpy()
    assert moved[0, 6, 5, 0] == 255


@pytest.mark.parametrize("text", ["rotate(30)", "translate(0.4)", "shear(0.3)"])
def test_outside_has_the_fill_color(text):
    mean = (10.0, 20.0, 30.0)
    images = tf.fill((4, 21, 21, 3), tf.constant(200, tf.uint8))
    draws = tf.constant(RANDOM.choice([0.0, 0.999], (4, 2)).astype(np.float32))
    found = parse(text).apply(images, draws, mean).numpy()
    inside = (found == 200).all(-1)
    outside = (found == mean).all(-1)
    assert outside.mean() > 0.02
    assert (inside | outside).mean() > 0.9  # the rest is interpolated


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("axis", [1, 2])
def test_shifted_rows_and_columns_match_linear_interpolation(axis, channels):
    images = RANDOM.integers(0, 256, (5, 13, 18, channels), dtype=np.uint8)
    color = np.uint8([200, 100, 0])[:channels]
    shifts = RANDOM.uniform(-25, 25, (5, images.shape[3 - axis]))
    shifts[0], shifts[1] = 0, 3  # whole pixels
    shifts = shifts.astype(np.float32)
    slide = affine.slide_rows if axis == 2 else affine.slide_columns
    found = slide(tf.constant(images), tf.constant(shifts), tf.constant(color)).numpy().astype(float)
    length = images.shape[axis]
    for image, shift, result in zip(images.astype(float), shifts.astype(float), found, strict=True):
        lines, results = (image, result) if axis == 2 else (image.swapaxes(0, 1), result.swapaxes(0, 1))
        for line, by, slid in zip(lines, shift, results, strict=True):
            for channel in range(channels):
                outside = float(color[channel])
                values = [outside, *line[:, channel], outside]
                places = np.arange(length) + by
                exact = np.interp(places, np.arange(-1, length + 1), values, outside, outside)
                np.testing.assert_allclose(slid[:, channel], exact, atol=0.5 + 1e-3)

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


def test_quarter_turns_are_exact():
    for quarters in range(4):
        angles = tf.fill([len(IMAGES)], 90.0 * quarters)
        turned = affine.affine(tf.constant(IMAGES), affine.rotation(angles), BLACK)
        np.testing.assert_array_equal(turned, np.rot90(IMAGES, quarters, (1, 2)))


@pytest.mark.parametrize("kind", ["rotate", "shear_x", "shear_y", "translate"])
def test_affine_maps_match_pillow(kind):
    amounts = np.linspace(-1, 1, len(IMAGES)).astype(np.float32)
    zero = tf.zeros(len(IMAGES))
    maps = {
        "rotate": affine.rotation(tf.constant(amounts * 37)),
        "shear_x": affine.shearing(tf.constant(amounts * 0.29), zero),
        "shear_y": affine.shearing(zero, tf.constant(amounts * 0.29)),
        "translate": affine.translation(tf.constant(amounts * 5), tf.constant(amounts * -3.3)),
    }[kind].numpy()
    ours = affine.affine(tf.constant(IMAGES), tf.constant(maps), BLACK).numpy()
    center = np.full(2, 31 / 2)  # integer coordinates are the corners of Pillow's pixels and the centers of ours
    for image, found, matrix in zip(IMAGES, ours, maps.astype(float), strict=True):
        shift = matrix[:, 2] + center - matrix[:, :2] @ center
        data = (*matrix[0, :2], shift[0], *matrix[1, :2], shift[1])
        theirs = np.asarray(Image.fromarray(image).transform((31, 31), Image.AFFINE, data, Image.Resampling.BILINEAR))
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
@pytest.mark.parametrize("n", [1, 9])
def test_affine_maps_match_exact_bilinear_interpolation(channels, n):
    images = RANDOM.integers(0, 256, (n, 13, 118, channels), dtype=np.uint8)
    color = np.uint8([200, 100, 0])[:channels]
    maps = np.eye(2, 3) + RANDOM.normal(0, [0.4, 0.4, 9], (n, 2, 3))
    found = affine.affine(tf.constant(images), tf.constant(maps, tf.float32), tf.constant(color)).numpy()
    _assert_interpolated(found, images, maps, color)


@pytest.mark.parametrize("axis", [0, 1])
def test_maps_along_an_axis_match_exact_interpolation(axis):
    images = RANDOM.integers(0, 256, (6, 13, 18, 3), dtype=np.uint8)
    color = np.uint8([200, 100, 0])
    maps = np.tile(np.eye(2, 3), (6, 1, 1))
    maps[1:, axis, 2] = [3, -25, 0.5, 7.3, -1.2]  # pixels
    maps[3:, axis, 1 - axis] = [0.2, -0.9, 0.33]
    maps = maps.astype(np.float32)
    found = affine.affine_along_axis(tf.constant(images), tf.constant(maps), tf.constant(color)).numpy()
    np.testing.assert_array_equal(found, affine.affine(tf.constant(images), tf.constant(maps), tf.constant(color)))
    np.testing.assert_array_equal(found[0], images[0])
    _assert_interpolated(found, images, maps, color)


def _assert_interpolated(found, images, maps, color):
    """Positions are rounded to 1/256 pixel and maps to 2**-15, which changes values by up to 1 level per axis."""
    height, width, channels = images.shape[1:]
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    y, x = np.mgrid[:height, :width]
    for image, matrix, result in zip(images.astype(float), maps.astype(float), found, strict=True):
        places = np.stack([x - center[0], y - center[1]], -1) @ matrix[:, :2].T + matrix[:, 2] + center
        for channel in range(channels):
            padded = np.pad(image[..., channel], 1, constant_values=float(color[channel]))
            exact = ndimage.map_coordinates(
                padded, [places[..., 1] + 1, places[..., 0] + 1], order=1, cval=float(color[channel])
            )
            difference = np.abs(result[..., channel] - exact)
            assert difference.max() <= 2
            assert difference.mean() < 0.5


def test_maps_along_an_axis_are_detected():
    one, zero = tf.ones(5), tf.zeros(5)
    maps = [affine.shearing(one, zero), affine.translation(zero, one), affine.rotation(zero)]
    for along in maps:
        assert affine.is_along_axis(along).numpy().all()
    for other in (affine.rotation(one), affine.translation(one, one), affine.composed(maps[0], maps[1])):
        assert not affine.is_along_axis(other).numpy().any()


def test_composed_maps_are_a_transform_followed_by_another():
    turn, shift = affine.rotation(tf.fill([6], 90.0)), affine.translation(tf.fill([6], 4.0), tf.fill([6], -2.0))
    images = tf.constant(IMAGES)
    for first, second in ((turn, shift), (shift, turn)):
        expected = affine.affine(affine.affine(images, first, BLACK), second, BLACK).numpy()
        found = affine.affine(images, affine.composed(first, second), BLACK).numpy()
        np.testing.assert_array_equal(found[:, 4:-4, 4:-4], expected[:, 4:-4, 4:-4])

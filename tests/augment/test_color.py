"""Color operations are bit-identical to Pillow."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from cnnrecipes.augment import color, filters_and_noise, histogram
from cnnrecipes.augment.operation import parse

RANDOM = np.random.default_rng(0)
NOISE = RANDOM.integers(0, 256, (5, 40, 30, 3), dtype=np.uint8)
# Noise, few values, constant, and nearly constant images: edge cases of histograms.
IMAGES = np.concatenate(
    [
        NOISE,
        (NOISE[:2] // 64 * 50 + 20).astype(np.uint8),
        np.full((1, 40, 30, 3), 77, np.uint8),
        np.broadcast_to(np.linspace(90, 140, 30).astype(np.uint8)[:, None], (1, 40, 30, 3)),
    ]
)
GRAY = IMAGES[..., :1]
FACTORS = np.array([0, 0.1, 0.35, 0.7, 1, 1.2, 1.5, 1.9, 3], np.float32)


def by_pillow(images, change):
    pictures = [Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image) for image in images]
    return np.stack([np.asarray(change(picture, i)).reshape(images[0].shape) for i, picture in enumerate(pictures)])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (color.brightened, ImageEnhance.Brightness),
        (color.contrasted, ImageEnhance.Contrast),
        (color.saturated, ImageEnhance.Color),
        (filters_and_noise.sharpened, ImageEnhance.Sharpness),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
@pytest.mark.parametrize("images", [IMAGES, GRAY], ids=["rgb", "gray"])
def test_enhancement_matches_pillow(ours, theirs, images):
    expected = by_pillow(images, lambda picture, i: theirs(picture).enhance(float(FACTORS[i])))
    np.testing.assert_array_equal(ours(tf.constant(images), tf.constant(FACTORS)), expected)


@pytest.mark.parametrize("images", [IMAGES, GRAY], ids=["rgb", "gray"])
@pytest.mark.parametrize("name", ["autocontrast", "equalize", "invert", "grayscale", "solarize", "posterize"])
def test_operation_matches_pillow(name, images):
    x, n = tf.constant(images), len(images)
    numbers = np.arange(n)
    ours, theirs = {
        "autocontrast": (lambda: histogram.autocontrasted(x), lambda p, i: ImageOps.autocontrast(p)),
        "equalize": (lambda: histogram.equalized(x), lambda p, i: ImageOps.equalize(p)),
        "invert": (lambda: color.inverted(x), lambda p, i: ImageOps.invert(p)),
        "grayscale": (
            lambda: parse("grayscale(1)").apply(x, tf.zeros((n, 1)), None),
            lambda p, i: p.convert("L").convert(p.mode),
        ),
        "solarize": (
            lambda: color.solarized(x, tf.constant(numbers * 32.0)),
            lambda p, i: ImageOps.solarize(p, int(numbers[i] * 32)),
        ),
        "posterize": (
            lambda: color.posterized(x, tf.constant(numbers % 8 + 1.0)),
            lambda p, i: ImageOps.posterize(p, int(numbers[i] % 8 + 1)),
        ),
    }[name]
    np.testing.assert_array_equal(ours(), by_pillow(images, theirs))


def test_hue_shift_rotates_in_hsv_space():
    turns = np.linspace(-0.5, 0.5, len(IMAGES)).astype(np.float32)
    found = color.shift_hue(tf.cast(IMAGES, tf.float32), tf.constant(turns)).numpy()
    for image, turn, turned in zip(IMAGES, turns, found, strict=True):
        for pixel, result in zip(image[::13, 7], turned[::13, 7], strict=True):
            h, s, v = colorsys.rgb_to_hsv(*(pixel / 255.0))
            np.testing.assert_allclose(result / 255, colorsys.hsv_to_rgb((h + turn) % 1, s, v), atol=1e-5)


def test_color_jitter_matches_pillow_contrast_brightness_saturation():
    op = parse("color_jitter(0.5, 0.4, 0.3, 0)")
    draws = RANDOM.random((len(IMAGES), 4), np.float32)
    b, c, s = (1 + (2 * draws[:, :3] - 1) * np.float32([0.5, 0.4, 0.3])).T

    def chain(picture, i):
        for enhance, factor in ((ImageEnhance.Contrast, c), (ImageEnhance.Brightness, b), (ImageEnhance.Color, s)):
            picture = enhance(picture).enhance(float(factor[i]))
        return picture

    found = op.apply(tf.constant(IMAGES), tf.constant(draws), None)
    np.testing.assert_array_equal(found, by_pillow(IMAGES, chain))


@pytest.mark.parametrize("text", ["color_jitter", "color_jitter(0, 0, 0, 0.5)"])
def test_color_jitter_keeps_grayscale_images_gray(text):
    draws = tf.constant(RANDOM.random((len(GRAY), 4), np.float32))
    alone = parse(text).apply(tf.constant(GRAY), draws, None).numpy()
    as_rgb = parse(text).apply(tf.constant(np.repeat(GRAY, 3, -1)), draws, None).numpy()
    np.testing.assert_array_equal(np.repeat(alone, 3, -1), as_rgb)

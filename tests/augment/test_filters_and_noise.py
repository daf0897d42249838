"""Blur and noise, compared with SciPy."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from scipy import ndimage, stats

from cnnrecipes.augment import filters_and_noise
from cnnrecipes.augment.operation import parse

IMAGES = np.random.default_rng(2).integers(0, 256, (4, 24, 20, 3), dtype=np.uint8)


def test_blur_matches_scipy_gaussian_filter():
    sigmas = np.array([0.3, 0.8, 1.4, 2.0], np.float32)
    found = filters_and_noise.gaussian(tf.constant(IMAGES), tf.constant(sigmas), 6).numpy()
    for image, sigma, blurred in zip(IMAGES, sigmas, found, strict=True):
        expected = ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="mirror", radius=(6, 6, 0))
        assert np.abs(blurred - expected).max() <= 0.501


def test_noise_is_normal_and_independent_per_image():
    gray = tf.fill((6, 64, 64, 3), tf.constant(128, tf.uint8))
    draws = tf.constant(np.random.default_rng(0).random((6, 2), np.float32))
    found = parse("noise(10)").apply(gray, draws, None).numpy().astype(float) - 128
    assert abs(found.mean()) < 0.1
    assert abs(found.std() - np.sqrt(100 + 1 / 12)) < 0.1
    assert (
        stats.kstest(found[0].ravel() + np.random.default_rng(0).random(64 * 64 * 3) - 0.5, "norm", (0, 10)).pvalue
        > 0.001
    )
    assert np.abs(np.corrcoef(found.reshape(6, -1)) - np.eye(6)).max() < 0.05


def test_uniform_noise_has_uniform_values():
    found = filters_and_noise.uniform_noise(
        tf.zeros((4, 64, 64, 3), tf.uint8), tf.constant([[0.1, 0.2]] * 2 + [[0.3, 0.4]] * 2)
    )
    counts = np.bincount(found.numpy().ravel(), minlength=256)
    assert len(counts) == 256
    assert stats.chisquare(counts / 2).pvalue > 1e-4  # two pairs of equal images
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[1].numpy() != found[2].numpy()).mean() > 0.9

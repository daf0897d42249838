"""Corruptions: range, determinism, growing distance to the clean image; and the accuracy under them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from legible import assert_legible

from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.errors import DataError, UnknownNameError
from cnnrecipes.explain import CORRUPTIONS, corrupt, plot_robustness, robustness, robustness_sentence


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    """Four smooth images with edges and color, (4, 48, 64, 3)."""
    random = np.random.default_rng(0)
    coarse = random.uniform(40, 200, (4, 6, 8, 3)).astype(np.float32)
    return tf.image.resize(coarse, (48, 64), "bicubic").numpy().clip(0, 255).astype(np.uint8)


def test_there_are_twelve():
    assert len(CORRUPTIONS) == 12


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_grows_with_its_strength_and_is_deterministic(name, photos):
    found = [corrupt(photos, name, strength, seed=3) for strength in (1, 2, 3, 4, 5)]
    assert all(one.shape == photos.shape and one.dtype == np.uint8 for one in found)
    distances = [np.sqrt(np.mean((one.astype(float) - photos) ** 2)) for one in found]
    assert distances[0] > 0
    assert (np.diff(distances) > 0).all(), distances
    np.testing.assert_array_equal(corrupt(photos, name, 2, seed=3), found[1])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_is_corrupted_alike_in_every_batch(name, photos):
    whole = corrupt(photos, name, 3, indices=[5, 6, 7, 8])
    np.testing.assert_array_equal(corrupt(photos[2:3], name, 3, indices=[7])[0], whole[2])


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(8, 8, 1), (5, 9, 3)])
def test_small_and_gray_images(name, shape):
    images = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    found = corrupt(images, name, 5)
    assert found.shape == images.shape
    assert found.dtype == np.uint8


@pytest.mark.parametrize("name", ["gaussian_noise", "motion_blur"])
def test_seeds_and_indices_differ(name, photos):
    same = np.repeat(photos[:1], 2, axis=0)
    found = corrupt(same, name, 3)
    assert not np.array_equal(found[0], found[1])
    assert not np.array_equal(corrupt(same, name, 3, seed=1), found)


def test_blur_is_scaled_with_the_image(photos):
    """The same share of an image is blurred, whatever its size in pixels."""
    large = tf.image.resize(photos, (192, 256)).numpy().astype(np.uint8)
    shrunk = tf.image.resize(corrupt(large, "defocus_blur", 5), (48, 64), antialias=True).numpy()
    small = corrupt(photos, "defocus_blur", 5).astype(float)
    assert np.abs(shrunk - small).mean() < 0.5 * np.abs(photos - small).mean()


def test_blurs_keep_a_plain_image():
    plain = np.full((1, 32, 32, 3), 77, np.uint8)
    for name in ("defocus_blur", "motion_blur", "zoom_blur", "gaussian_blur", "pixelate", "saturation"):
        np.testing.assert_array_equal(corrupt(plain, name, 5), plain)


def test_unknown_names_and_strengths():
    images = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(UnknownNameError, match="gaussian_noise"):
        corrupt(images, "gaussian noise", 1)
    with pytest.raises(DataError, match="strength is 6"):
        corrupt(images, "jpeg", 6)


def test_accuracy_falls_under_noise(digits_run):
    split = open_source(None, digits_run.recipe.data).split("validation")
    table = robustness(digits_run, split, ["gaussian_noise", "jpeg"], [1, 5])
    assert table[["corruption", "strength"]].to_numpy().tolist() == [
        ["none", 0],
        ["gaussian_noise", 1],
        ["gaussian_noise", 5],
        ["jpeg", 1],
        ["jpeg", 5],
    ]
    assert (table["n"] == len(split)).all()
    clean = digits_run.evaluate(split="validation")["accuracy"]
    assert table["accuracy"].iloc[0] == pytest.approx(clean)
    assert table["accuracy"].iloc[2] < clean
    assert "points under" in robustness_sentence(table)
    assert_legible(plot_robustness(table))
    part = robustness(digits_run.artifact, split, ["contrast"], [1], images=40)
    assert (part["n"] == 40).all()


def test_sentence_names_the_worst_corruption_at_the_middle_strength():
    rows = [("none", 0, 0.92), *[("jpeg", s, 0.9) for s in (1, 3, 5)]]
    rows += [("gaussian_noise", 1, 0.9), ("gaussian_noise", 3, 0.8), ("gaussian_noise", 5, 0.5)]
    table = pd.DataFrame(rows, columns=["corruption", "strength", "accuracy"]).assign(n=100)
    sentence = robustness_sentence(table)
    assert sentence.startswith("loses 12 points under gaussian noise at strength 3 (92% to 80%); 82% on average over ")
    assert sentence.endswith("2 corruptions at 3 strengths")
    assert robustness_sentence(table.head(1)) == "92% without corruption"

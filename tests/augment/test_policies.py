"""Augmentation policies: search spaces, frequencies, and independence of images in a batch."""

from __future__ import annotations

import functools
import itertools
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from cnnrecipes.augment import affine, color, filters_and_noise, histogram, policies
from cnnrecipes.augment.operation import parse
from cnnrecipes.augment.policy_chains import transform_in_chains
from cnnrecipes.augment.policy_ops import GEOMETRIC, KINDS, affine_maps, transform

RANDOM = np.random.default_rng(4)
IMAGES = RANDOM.integers(0, 256, (45, 17, 19, 3), dtype=np.uint8)
GRAY = tf.constant(128, tf.uint8)
MEAN = (120.0, 110.0, 100.0)
CHAINED = ("identity", "shear_x", "translate_x", "rotate", "posterize", "equalize")


@pytest.mark.parametrize("channels", [1, 3])
def test_mixed_batch_equals_single_images(channels):
    images = tf.constant(IMAGES[..., :channels])
    kinds = np.arange(45) % len(KINDS)
    strength = {"posterize": 3.0, "solarize": 90.0, "rotate": 20.0, "translate_x": 4.0, "translate_y": 4.0}
    magnitudes = np.array([strength.get(KINDS[kind], 0.3) for kind in kinds], np.float32)
    together = transform(images, tf.constant(kinds, tf.int32), tf.constant(magnitudes), GRAY).numpy()
    for i in range(0, 45, 4):
        alone = transform(images[i : i + 1], tf.constant(kinds[i : i + 1], tf.int32), magnitudes[i : i + 1], GRAY)
        np.testing.assert_array_equal(together[i], alone[0])


@pytest.mark.parametrize("kind", KINDS)
def test_kind_equals_the_operation_of_its_name(kind):
    x, n = tf.constant(IMAGES), len(IMAGES)
    amount = {"posterize": 3.0, "solarize": 90.0, "rotate": 20.0, "translate_x": 4.0, "translate_y": 4.0}.get(kind, 0.3)
    amounts, zero = tf.fill([n], amount), tf.zeros(n)
    expected = {
        "identity": lambda: x,
        "shear_x": lambda: affine.affine(x, affine.shearing(amounts, zero), GRAY),
        "shear_y": lambda: affine.affine(x, affine.shearing(zero, amounts), GRAY),
        "translate_x": lambda: affine.affine(x, affine.translation(amounts, zero), GRAY),
        "translate_y": lambda: affine.affine(x, affine.translation(zero, amounts), GRAY),
        "rotate": lambda: affine.affine(x, affine.rotation(amounts), GRAY),
        "brightness": lambda: color.brightened(x, amounts),
        "saturation": lambda: color.saturated(x, amounts),
        "contrast": lambda: color.contrasted(x, amounts),
        "sharpness": lambda: filters_and_noise.sharpened(x, amounts),
        "posterize": lambda: color.posterized(x, amounts),
        "solarize": lambda: color.solarized(x, amounts),
        "autocontrast": lambda: histogram.autocontrasted(x),
        "equalize": lambda: histogram.equalized(x),
        "invert": lambda: color.inverted(x),
    }[kind]()
    found = transform(x, tf.fill([n], KINDS.index(kind)), amounts, GRAY)
    np.testing.assert_array_equal(found, expected)


def spied(monkeypatch, text, n=3000):
    """The (kind, magnitude) of every step of a policy over many images, without transforming them."""
    steps = []

    def note(images, kinds, magnitudes, fill):
        steps.append([(KINDS[k], float(m)) for k, m in zip(kinds.numpy(), magnitudes.numpy(), strict=True)])
        return images

    monkeypatch.setattr(policies, "transform", note)
    op, images = parse(text), tf.zeros((n, 8, 100, 3), tf.uint8)
    op.apply(images, tf.constant(RANDOM.random((n, op.draws), np.float32)), MEAN)
    return steps


def test_rand_augment_matches_the_search_space_of_torchvision(monkeypatch):
    steps = spied(monkeypatch, "rand_augment(2, magnitude=15)")
    assert len(steps) == 2
    expected = {
        "identity": {0},
        "shear_x": {0.15, -0.15},
        "shear_y": {0.15, -0.15},
        "translate_x": {22.66, -22.66},
        "translate_y": {1.81, -1.81},
        "rotate": {15, -15},
        **{key: {1.45, 0.55} for key in ("brightness", "saturation", "contrast", "sharpness")},
        "posterize": {6},
        "solarize": {127.5},
        "autocontrast": {0},
        "equalize": {0},
    }
    for step in steps:
        found = {kind: {round(m, 2) for k, m in step if k == kind} for kind in KINDS if kind != "invert"}
        assert found == expected
        counts = Counter(kind for kind, _ in step)
        assert min(counts.values()) > 150
        assert max(counts.values()) < 290


def test_trivial_augment_is_one_step_of_uniform_magnitude(monkeypatch):
    (step,) = spied(monkeypatch, "trivial_augment")
    angles = sorted({abs(round(m, 3)) for kind, m in step if kind == "rotate"})
    assert angles == [pytest.approx(135 * level / 30) for level in range(31)]
    assert {m for kind, m in step if kind == "posterize"} == {8, 7, 6, 5, 4, 3, 2}
    assert max(abs(m) for kind, m in step if kind == "translate_y") == 32


@pytest.mark.parametrize(
    ("name", "pair", "share"), [("cifar10", "invert", 0.1 / 25), ("imagenet", "posterize", 1.8 / 25)]
)
def test_auto_augment_draws_one_of_25_pairs(monkeypatch, name, pair, share):
    first, second = spied(monkeypatch, f"auto_augment('{name}')", n=20_000)
    assert abs(np.mean([kind == pair for kind, _ in first]) - share) < 0.004
    policy = policies._read(policies._CIFAR10 if name == "cifar10" else policies._IMAGENET)
    assert len(policy) == 25
    expected = sum(p for _, (_, p, _) in policy) / 25
    assert abs(np.mean([kind != "identity" for kind, _ in second]) - expected) < 0.02


def test_aug_mix_is_a_weighted_mean(monkeypatch):
    """With chains that give black images, what remains is the image's own weight: Beta(1, 1), which is uniform."""
    monkeypatch.setattr(policies, "transform_in_chains", lambda images, *chains: tf.zeros_like(images))
    op = parse("aug_mix")
    draws = tf.constant(RANDOM.random((2000, op.draws), np.float32))
    found = op.apply(tf.fill((2000, 8, 8, 3), tf.constant(255, tf.uint8)), draws, MEAN)
    shares = found.numpy()[:, 0, 0, 0] / 255
    assert abs(shares.mean() - 0.5) < 0.03
    assert abs(shares.std() - np.sqrt(1 / 12)) < 0.02


def test_aug_mix_of_identity_chains_is_the_identity(monkeypatch):
    monkeypatch.setattr(policies, "transform_in_chains", lambda images, *chains: images)
    op = parse("aug_mix(width=4, alpha=0.5)")
    draws = tf.constant(RANDOM.random((45, op.draws), np.float32))
    np.testing.assert_array_equal(op.apply(tf.constant(IMAGES), draws, MEAN), IMAGES)


def test_aug_mix_is_independent_of_batch_size_and_tracing():
    images, op = tf.constant(IMAGES), parse("aug_mix(depth=4)")
    draws = tf.constant(RANDOM.random((45, op.draws), np.float32))
    together = tf.function(lambda: op.apply(images, draws, MEAN), autograph=False)().numpy()
    np.testing.assert_array_equal(together, op.apply(images, draws, MEAN))
    for i in (0, 5, 44):
        alone = op.apply(images[i : i + 1], draws[i : i + 1], MEAN)
        np.testing.assert_array_equal(together[i], alone[0])


def test_aug_mix_draws_the_chains_of_algorithm_1(monkeypatch):
    """Chains of 1 to `depth` steps of uniform kinds, with magnitudes up to `severity` tenths of the largest."""
    drawn = []

    def note(images, kinds, magnitudes, fill, among):
        drawn.append((kinds.numpy(), magnitudes.numpy()))
        return images

    monkeypatch.setattr(policies, "transform_in_chains", note)
    op, images = parse("aug_mix(severity=5, width=2, depth=3)"), tf.zeros((3000, 8, 100, 3), tf.uint8)
    op.apply(images, tf.constant(RANDOM.random((3000, op.draws), np.float32)), MEAN)
    ((kinds, magnitudes),) = drawn
    assert kinds.shape == (6000, 3)
    lengths = (kinds > 0).sum(1)
    np.testing.assert_allclose(np.bincount(lengths) / 6000, [0, 1 / 3, 1 / 3, 1 / 3], atol=0.03)
    np.testing.assert_array_equal(kinds > 0, np.arange(3) < lengths[:, None])  # the identity ends a chain
    names = np.array(KINDS)[kinds]
    shares = Counter(names[kinds > 0])
    assert set(shares) == set(policies._MILD_KINDS)
    assert max(shares.values()) < 1.15 * min(shares.values())
    for kind, largest in {"rotate": 15, "shear_x": 0.15, "translate_x": 100 / 6, "translate_y": 8 / 6}.items():
        assert 0.98 * largest < np.abs(magnitudes[names == kind]).max() <= largest


def test_chains_are_their_steps_with_consecutive_geometric_steps_composed():
    kinds = np.array([[KINDS.index(kind) for kind in chain] for chain in itertools.product(CHAINED, repeat=3)])
    kinds = kinds[[0 not in k[:-1] or not k[k.argmin() :].any() for k in kinds]]  # the identity only at the end
    strength = {"posterize": 3.0, "rotate": 20.0, "translate_x": 4.5, "shear_x": 0.3}
    magnitudes = np.array([[strength.get(KINDS[kind], 0) for kind in chain] for chain in kinds], np.float32)
    images = tf.constant(RANDOM.integers(0, 256, (len(kinds), 17, 19, 3), dtype=np.uint8))
    found = transform_in_chains(images, tf.constant(kinds, tf.int32), tf.constant(magnitudes), GRAY).numpy()
    is_geometric = np.isin(np.array(KINDS)[kinds], GEOMETRIC)
    for pattern in np.unique(is_geometric, axis=0):
        rows = np.flatnonzero((is_geometric == pattern).all(axis=1))
        expected = tf.gather(images, rows)
        for geometric, run in itertools.groupby(range(3), pattern.item):
            steps = [(tf.constant(kinds[rows, k], tf.int32), tf.constant(magnitudes[rows, k])) for k in run]
            if geometric:
                maps = [affine_maps(*step) for step in steps]
                expected = affine.affine(expected, functools.reduce(affine.composed, maps), GRAY)
            for step in [] if geometric else steps:
                expected = transform(expected, *step, GRAY)
        for row, one in zip(rows, expected, strict=True):
            np.testing.assert_array_equal(found[row], one, err_msg=str([KINDS[kind] for kind in kinds[row]]))

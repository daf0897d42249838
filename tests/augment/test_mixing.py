"""Mixup and CutMix: images and labels are mixed in the same proportions."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from cnnrecipes.augment import mixing
from cnnrecipes.augment.apply import mix
from cnnrecipes.augment.operation import parse, parse_list

# Image i has the constant value i * 20, so that a mixed value reveals the proportions.
N = 12
IMAGES = np.broadcast_to((np.arange(N) * 20).astype(np.uint8)[:, None, None, None], (N, 16, 12, 3))
LABELS = np.eye(N, dtype=np.float32)


def mixed(*ops, n=N, epoch=0):
    found = mix(
        tf.constant(IMAGES[:n]), tf.constant(LABELS[:n]), parse_list(ops), seed=0, epoch=epoch, index=tf.range(n)
    )
    return [part.numpy() for part in found]


@pytest.mark.parametrize("ops", [["mixup(1.0)"], ["cutmix"], ["mixup", "cutmix"], ["mixup(0.4)", "cutmix(0.3)"]])
def test_labels_have_the_proportions_of_the_pixels(ops):
    for epoch in range(5):
        images, labels = mixed(*ops, epoch=epoch)
        np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
        by_labels = labels @ (np.arange(N) * 20)
        np.testing.assert_allclose(images.mean((1, 2, 3)), by_labels, atol=0.51)


@pytest.mark.parametrize("n", range(2, N + 1))
@pytest.mark.parametrize("op", ["mixup(5.0)", "cutmix"])
def test_every_image_is_mixed_with_one_partner_and_is_the_partner_of_one(n, op):
    partners = mixing.partners(n)
    assert sorted(partners) == list(range(n))
    # Some boxes of CutMix are empty, but none is empty over 20 epochs.
    soft = sum(mixed(op, n=n, epoch=epoch)[1] for epoch in range(20 if op == "cutmix" else 2))
    for row, partner in enumerate(partners):
        assert partner != row
        assert set(np.flatnonzero(soft[row])) == {row, partner}


def test_neighbors_are_partners_in_a_batch_of_even_size():
    assert mixing.partners(6) == [1, 0, 3, 2, 5, 4]
    assert mixing.partners(7) == [1, 0, 3, 2, 5, 6, 4]


@pytest.mark.parametrize("op", ["mixup(5.0)", "cutmix"])
def test_batch_of_one_image_is_unchanged(op):
    images, labels = mixed(op, n=1)
    np.testing.assert_array_equal(images, IMAGES[:1])
    np.testing.assert_allclose(labels, LABELS[:1], atol=1e-6)


def test_even_parts_of_a_batch_are_mixed_like_the_whole_batch():
    images, labels = mixed("mixup(1.0)", "cutmix")
    for part in (np.s_[:4], np.s_[4:10], np.s_[10:]):
        found = mix(
            tf.constant(IMAGES[part]),
            tf.constant(LABELS[part]),
            parse_list(["mixup(1.0)", "cutmix"]),
            seed=0,
            epoch=0,
            index=tf.range(N)[part],
        )
        np.testing.assert_array_equal(found[0], images[part])
        np.testing.assert_array_equal(found[1], labels[part])


def test_cutmix_box_is_one_rectangle_of_the_drawn_area():
    share = np.full(400, 0.75, np.float32)
    zeros, ones = tf.zeros((400, 40, 40, 1), tf.uint8), tf.ones((400, 40, 40, 1), tf.uint8)
    draws = np.random.default_rng(0).random((400, 2), np.float32)
    draws[0] = 0.5
    found, own = (part.numpy() for part in parse("cutmix").mix(zeros, ones, tf.constant(share), tf.constant(draws)))
    assert found[0].sum() == 20 * 20
    np.testing.assert_allclose(own, 1 - found.mean((1, 2, 3)), atol=1e-6)
    assert own.min() > 0.74  # the border only makes boxes smaller


@pytest.mark.parametrize(("a", "b"), [(1, 1), (0.2, 0.2), (5, 5), (0.5, 1.5)])
def test_beta_samples_follow_the_beta_distribution(a, b):
    draws = (np.arange(2000) + 0.5) / 2000
    found = mixing.beta(tf.constant(draws, tf.float32), float(a), float(b)).numpy()
    # The density of Beta(0.2, 0.2) is steep at its ends: compare through the distribution function.
    np.testing.assert_allclose(stats.beta(a, b).cdf(found), draws, atol=0.03 if a < 0.5 else 1e-3)

"""Random boxes and random erasing: areas, aspect ratios and positions."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cnnrecipes.augment.boxes import DRAWS, choose_box
from cnnrecipes.augment.operation import parse

RANDOM = np.random.default_rng(3)


def test_boxes_have_the_requested_area_and_aspect_ratio_and_lie_inside():
    draws = tf.constant(RANDOM.random((4000, DRAWS), np.float32))
    top, left, rows, columns, found = (x.numpy() for x in choose_box(draws, 300, 400, (0.08, 1.0), (3 / 4, 4 / 3)))
    assert ((top >= 0) & (left >= 0) & (top + rows <= 300) & (left + columns <= 400)).all()
    share = rows * columns / (300 * 400)
    assert share[found].min() > 0.079
    assert found.mean() > 0.99
    ratio = columns / rows
    assert ratio[found].min() > 3 / 4 - 0.02
    assert ratio[found].max() < 4 / 3 + 0.02
    assert np.unique(top).size > 100


def test_largest_centered_box_is_used_if_none_fits():
    draws = tf.constant(RANDOM.random((50, DRAWS), np.float32))
    top, left, rows, columns, found = (x.numpy() for x in choose_box(draws, 10, 400, (0.9, 1.0), (3 / 4, 4 / 3)))
    assert not found.any()
    assert set(zip(top, left, rows, columns, strict=True)) == {(0, 194, 10, 13)}


@pytest.mark.parametrize("fill", ["'mean'", "7", "'noise'"])
def test_random_erasing_covers_one_box_of_the_requested_share(fill):
    op = parse(f"random_erasing(0.4, scale=[0.1, 0.2], fill={fill})")
    images = tf.fill((600, 20, 30, 3), tf.constant(200, tf.uint8))
    draws = tf.constant(RANDOM.random((600, 25), np.float32))
    found = op.apply(images, draws, (1.0, 2.0, 3.0)).numpy()
    covered = (found != 200).any(-1)
    assert abs(covered.any((1, 2)).mean() - 0.4) < 0.07
    shares = covered[covered.any((1, 2))].mean((1, 2))
    assert shares.min() > 0.07
    assert shares.max() < 0.23
    if fill != "'noise'":
        assert {tuple(c) for c in found[covered]} == ({(1, 2, 3)} if fill == "'mean'" else {(7, 7, 7)})
    for mask in covered[:40]:
        if mask.any():
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() > 0.98

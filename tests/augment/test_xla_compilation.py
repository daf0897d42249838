"""Kernels compiled by XLA, and the ordinary graphs in their place where TensorFlow has no XLA."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cnnrecipes.augment import affine, histogram, xla_compilation

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (7, 33, 21, 3), np.uint8)
MAPS = np.round(2**16 * (np.eye(2, 3) / 2 + RANDOM.normal(0, 0.1, (7, 2, 3)))).astype(np.int32)
COLORS = RANDOM.integers(0, 256, (7, 3), np.uint8)


@pytest.mark.parametrize("kernel", [affine._interpolated, affine._interpolated_along_axis])
def test_affine_kernels_have_the_same_values_without_xla(kernel, monkeypatch):
    with_xla = kernel(IMAGES, MAPS, COLORS).numpy()
    monkeypatch.setattr(xla_compilation, "_xla_works", lambda: False)
    without = xla_compilation.compiled_in_chunks(kernel.__wrapped__)(IMAGES, MAPS, COLORS).numpy()
    np.testing.assert_array_equal(with_xla, without)
    assert with_xla.std() > 10


def test_xla_of_the_cpu_is_found_also_while_a_graph_is_built():
    xla_compilation._xla_works.cache_clear()
    assert tf.function(lambda: tf.constant(xla_compilation._xla_works()))()


@pytest.mark.parametrize("change", [histogram.autocontrasted, histogram.equalized])
def test_images_of_several_chunks_are_changed_as_alone(change):
    images = np.random.default_rng(0).integers(20, 200, (11, 64, 66, 3)).astype(np.uint8)
    images[::2] //= 2
    alone = np.concatenate([change(tf.constant(images[i : i + 1])).numpy() for i in range(len(images))])
    np.testing.assert_array_equal(change(tf.constant(images)).numpy(), alone)

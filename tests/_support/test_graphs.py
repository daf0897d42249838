"""One graph for each signature, of which TensorFlow does not warn as of retracing."""

from __future__ import annotations

import logging

import numpy as np
import tensorflow as tf

from cnnrecipes._support.graphs import Graphs


def test_function_is_traced_once_for_each_shape():
    traced = []

    def double(values):
        traced.append(tuple(values.shape))
        return 2 * values

    graphs = Graphs(double)
    for size in (3, 4, 3, 4):
        values = np.arange(size, dtype=np.float32)
        np.testing.assert_array_equal(graphs(tf.constant(values)), 2 * values)
    assert traced == [(3,), (4,)]


def test_many_objects_of_the_same_code_are_no_retracing(caplog):
    caplog.set_level(logging.WARNING, logger="tensorflow")
    for number in range(12):
        assert Graphs(lambda values, number=number: values + number)(tf.constant(1)).numpy() == 1 + number
    assert caplog.records == []

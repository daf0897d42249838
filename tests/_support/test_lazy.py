"""Lazy imports: modules are imported at the first access, and attributes are those of the module."""

from __future__ import annotations

import subprocess
import sys
import timeit

import pytest
import tensorflow

from cnnrecipes._support.lazy import lazy_module

tf = lazy_module("tensorflow")


def test_module_is_imported_at_the_first_access():
    code = (
        "import sys; from cnnrecipes._support.lazy import lazy_module; wave = lazy_module('wave');"
        "assert 'wave' not in sys.modules; assert callable(wave.open); assert 'wave' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_attributes_are_those_of_the_module(monkeypatch):
    assert tf.cast is tensorflow.cast
    assert tf.raw_ops is tensorflow.raw_ops
    assert "cast" in dir(tf)
    monkeypatch.setattr(tensorflow, "cast", print)
    assert tf.cast is print


def test_missing_module_or_attribute_raises_the_standard_error():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        lazy_module("no_such_module").attribute  # noqa: B018
    with pytest.raises(AttributeError, match="no_such_attribute"):
        tf.no_such_attribute  # noqa: B018


def test_autograph_and_tracing_support_lazy_modules():
    @tf.function
    def halved(x):
        while tf.reduce_sum(x) > 1:
            x = x / 2
        return x

    @tensorflow.function
    def same(x):
        while tensorflow.reduce_sum(x) > 1:
            x = x / 2
        return x

    assert halved(tf.constant([7.0])).numpy() == same(tf.constant([7.0])).numpy()
    ops = [
        [op.type for op in f.get_concrete_function(tf.constant([7.0])).graph.get_operations()] for f in (halved, same)
    ]
    assert ops[0] == ops[1]


def test_attribute_access_is_faster_than_a_quarter_of_an_operation():
    x = tensorflow.zeros(3)
    access = min(timeit.repeat(lambda: tf.add, number=2000, repeat=5))
    operation = min(timeit.repeat(lambda: tensorflow.add(x, x), number=2000, repeat=5))
    assert access < operation / 4

"""Defaults of tf.data that this package switches off: autotuning and autograph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cnnrecipes._support.lazy import lazy_module

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return the dataset without autotuning of its parallelism.

    The autotuning thread of an iterator sleeps for up to half of the time that the iterator has existed, at most a
    minute, and often misses the signal to end (`Model::OptimizeLoop` in tensorflow/core/framework/model.cc tests a flag
    that the cancellation sets only after its callbacks), so that whoever releases the iterator waits that long. Without
    it, `tf.data.AUTOTUNE` stands for all cores, at most 16, and a prefetch buffer still adapts its size.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def mapped(dataset: tf.data.Dataset, function: Callable, parallel: int | None = None) -> tf.data.Dataset:
    """Call `dataset.map` without autograph, which is not needed here and takes seconds."""
    return dataset.map(tf.autograph.experimental.do_not_convert(function), parallel)

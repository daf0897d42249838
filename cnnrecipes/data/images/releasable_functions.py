"""Python functions in tf.data graphs that can be released, so that TensorFlow does not keep the images in memory.

TensorFlow adds every function given to `tf.numpy_function` to a list of the outermost graph, which lives as long as
the process: whatever such a function references is never freed. The function passed here is a `Handle`, which drops its
reference when it is closed: when its data set is deleted (iterators reference their data set, so none is in use then),
or earlier by `Split.close`, at the end of training.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf


class Handle:
    """A function that can be released while tf.data threads still call it; running calls finish normally."""

    def __init__(self, function: Callable):
        self._function: Callable | None = function

    def __call__(self, *arguments: Any) -> Any:
        """Call the function. Raise StopIteration after `close`."""
        function = self._function
        if function is None:
            # tf.data raises an error at the next batch for any exception. Unlike others, StopIteration is not logged
            # when only a prefetch thread meets it (tensorflow/python/lib/core/py_func.cc).
            raise StopIteration(
                "this tf.data.Dataset is closed, since its training or evaluation has ended, and its images "
                "are released; create a new one"
            )
        return function(*arguments)

    def close(self) -> None:
        """Drop the reference to the function, so that the images it holds can be freed. Thread-safe and idempotent."""
        self._function = None


class Handles:
    """The handles of one tf.data.Dataset, closed together."""

    def __init__(self) -> None:
        self._handles: list[Handle] = []

    def numpy_function(self, function: Callable, inputs: list[tf.Tensor], types: Any) -> Any:
        """Call `tf.numpy_function` for a function without side effects, through a handle that `close` releases."""
        handle = Handle(function)
        self._handles.append(handle)
        return tf.numpy_function(handle, inputs, types, stateful=False)

    def close_with(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Return `dataset`, whose deletion closes these handles. Every iterated data set must be derived from it."""
        weakref.finalize(dataset, self.close).atexit = False
        return dataset

    def close(self) -> None:
        """Release the functions of all handles."""
        for handle in self._handles:
            handle.close()

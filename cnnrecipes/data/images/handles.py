"""Handles through which the graph of a data set calls Python, so that the graph does not keep the images alive.

TensorFlow adds every function given to `tf.numpy_function` to a list of the outermost graph, which lives as long as
the process: what such a function refers to is never freed. The function given here is a `Handle`, which refers to
nothing once it is closed. It is closed when its data set is deleted (iterators refer to their data set, so none is
left that could be used), or earlier by `Split.close`, when the training ends.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf


class Handle:
    """A function that can be taken away while threads of tf.data still call it; a call that has begun ends normally."""

    def __init__(self, function: Callable):
        self._function: Callable | None = function

    def __call__(self, *arguments: Any) -> Any:
        function = self._function
        if function is None:
            # tf.data makes an error of this, as any other, for whoever asks for the next batch. Unlike any other it is
            # not logged where nobody asks, by a thread that still prefetches (tensorflow/python/lib/core/py_func.cc).
            raise StopIteration(
                "this data set is closed: the training or the evaluation that it was made for is over, and its images "
                "are released; make a new one"
            )
        return function(*arguments)

    def close(self) -> None:
        """Let the function go; safe at any time and from any thread, and as often as you like."""
        self._function = None


class Handles:
    """The handles of one data set, closed together."""

    def __init__(self) -> None:
        self._handles: list[Handle] = []

    def numpy_function(self, function: Callable, inputs: list[tf.Tensor], types: Any) -> Any:
        """`tf.numpy_function` of a function without side effects, through a handle of this data set."""
        handle = Handle(function)
        self._handles.append(handle)
        return tf.numpy_function(handle, inputs, types, stateful=False)

    def close_with(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """The same data set, with whose end the handles close. It must be an input of every one that is iterated."""
        weakref.finalize(dataset, self.close).atexit = False
        return dataset

    def close(self) -> None:
        """Close all of them."""
        for handle in self._handles:
            handle.close()

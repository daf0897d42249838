"""How the images of a split get into a graph: from an array, from files, or from what was kept of files.

Python reads, so that an array of any size stays where it is: a graph would hold a copy, of 2 GB at most.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from cnnrecipes import recipe
from cnnrecipes.data.decoded import DecodedImages
from cnnrecipes.data.framing import frame, frame_batch, frame_file
from cnnrecipes.data.images import choose_route, decode, decode_routed, resize
from cnnrecipes.data.sources import Split
from cnnrecipes.operations import Framing

Shape = tuple[int, int, int]
Reader = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def from_array(split: Split, spec: recipe.Data, shape: Shape, framing: Framing | None) -> Reader:
    """(indices (N,), draws (N, k)) to images (N, H, W, C), from an array."""
    height, width, _ = shape
    images, positions = split.images, split.positions

    def read(index, draws):
        batch = tf.numpy_function(lambda i: images.array[positions[i]], [index], tf.uint8, stateful=False)
        batch = tf.ensure_shape(batch, (index.shape[0], *images.shape))
        if framing:
            return frame_batch(batch, draws, framing, (height, width))
        if (height, width) != images.shape[:2] or spec.short_side:
            return resize(batch, height, spec.resize, spec.short_side)
        return batch

    return read


def from_files(split: Split, spec: recipe.Data, shape: Shape, framing: Framing | None) -> Reader:
    """(index, draws (k,)) to an image (H, W, C), from an encoded file."""
    height, width, channels = shape
    images, positions = split.images, split.positions

    def content(index):
        read = images.read(int(positions[index]))
        return read, np.int32(choose_route(read))

    def read(index, draws):
        encoded, route = tf.numpy_function(content, [index], (tf.string, tf.int32), stateful=False)
        encoded, route = tf.ensure_shape(encoded, ()), tf.ensure_shape(route, ())
        if framing:
            return frame_file(encoded, route, draws, framing, (height, width), channels)
        return resize(decode_routed(encoded, route, channels), height, spec.resize, spec.short_side)

    return read


def from_kept(split: Split, spec: recipe.Data, shape: Shape, framing: Framing | None) -> Reader:
    """As `from_files`, with the decoded images kept; resized already, unless each epoch frames them otherwise."""
    height, width, channels = shape
    images, positions = split.images, split.positions

    def compute(index):
        image = decode(images.read(int(positions[index])), channels)
        return (image if framing else resize(image, height, spec.resize, spec.short_side)).numpy()

    kept = DecodedImages(compute, limit=int(spec.cache_gb * 2**30), on_disk=spec.cache == "disk")

    def read(index, draws):
        image = tf.numpy_function(lambda i: kept(int(i)), [index], tf.uint8, stateful=False)
        image = tf.ensure_shape(image, (None, None, channels) if framing else (height, width, channels))
        return frame(image, draws, framing, (height, width)) if framing else image

    return read

"""How the images of a split get into a graph: from an array, from files, or from what was kept of files.

Python reads, so that an array of any size stays where it is: a graph would hold a copy, of 2 GB at most.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from cnnrecipes.augment.operations import Framing
from cnnrecipes.data.images.decode import choose_route, decode, decode_routed, resize
from cnnrecipes.data.images.decoded_cache import DecodedImages
from cnnrecipes.data.images.handles import Handles
from cnnrecipes.data.images.random_crop import frame, frame_batch, frame_file
from cnnrecipes.data.sources.source import Split
from cnnrecipes.recipe import schema

Shape = tuple[int, int, int]
Reader = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def from_array(split: Split, spec: schema.Data, shape: Shape, framing: Framing | None, handles: Handles) -> Reader:
    """(indices (N,), draws (N, k)) to images (N, H, W, C), from an array."""
    height, width, _ = shape
    images, positions = split.images, split.positions

    def read(index, draws):
        batch = handles.numpy_function(lambda i: images.array[positions[i]], [index], tf.uint8)
        batch = tf.ensure_shape(batch, (index.shape[0], *images.shape))
        if framing:
            return frame_batch(batch, draws, framing, (height, width))
        if (height, width) != images.shape[:2] or spec.short_side:
            return resize(batch, (height, width), spec.resize, spec.short_side)
        return batch

    return read


def contents(split: Split, handles: Handles) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """indices (N,) to the files' bytes (N,) and how to decode them (N,): a batch at a time, as calling Python costs."""
    images, positions = split.images, split.positions

    def read_all(indices):
        found = [images.read(int(positions[index])) for index in indices]
        return np.asarray(found, object), np.asarray([choose_route(one) for one in found], np.int32)

    def read(indices):
        encoded, routes = handles.numpy_function(read_all, [indices], (tf.string, tf.int32))
        return tf.ensure_shape(encoded, indices.shape), tf.ensure_shape(routes, indices.shape)

    return read


def from_files(split: Split, spec: schema.Data, shape: Shape, framing: Framing | None) -> Callable:
    """(bytes, route, draws (k,)) to an image (H, W, C)."""
    height, width, channels = shape

    def read(encoded, route, draws):
        if framing:
            return frame_file(encoded, route, draws, framing, (height, width), channels)
        return resize(decode_routed(encoded, route, channels), (height, width), spec.resize, spec.short_side)

    return read


def from_kept(split: Split, spec: schema.Data, shape: Shape, framing: Framing | None, handles: Handles) -> Reader:
    """(index, draws (k,)) to an image (H, W, C), decoded once and kept; resized too, unless each epoch frames anew."""
    height, width, channels = shape
    images, positions = split.images, split.positions

    def compute(index):
        image = decode(images.read(int(positions[index])), channels)
        return (image if framing else resize(image, (height, width), spec.resize, spec.short_side)).numpy()

    # A training has several pipelines, one after the other or one a device: they share what is decoded.
    key = (shape, spec.resize, spec.short_side, spec.cache, spec.cache_gb, framing is not None)
    if key not in split.kept:
        limit = int(spec.cache_gb * 2**30)
        split.kept[key] = DecodedImages(compute, limit=limit, on_disk=spec.cache == "disk")
    kept = split.kept[key]

    def read(index, draws):
        image = handles.numpy_function(lambda i: kept(int(i)), [index], tf.uint8)
        image = tf.ensure_shape(image, (None, None, channels) if framing else (height, width, channels))
        return frame(image, draws, framing, (height, width)) if framing else image

    return read

"""Image readers of the tf.data graph: from an array, from files, or from the decoded cache.

Reading happens in Python, so an array of any size is not copied: a graph constant would be a copy of at most 2 GB.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import tensorflow as tf

from cnnrecipes.augment.operation import CropWhileDecoding
from cnnrecipes.data.images.decode import choose_route, decode, decode_routed, resize
from cnnrecipes.data.images.decoded_cache import DecodedImages
from cnnrecipes.data.images.image_store import ArrayImages, EncodedStore
from cnnrecipes.data.images.random_crop import crop_batch, crop_file, crop_image
from cnnrecipes.data.images.releasable_functions import Handles
from cnnrecipes.data.sources.random_access_dataset import Split
from cnnrecipes.recipe import schema

Shape = tuple[int, int, int]
Reader = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def from_array(
    split: Split, spec: schema.Data, shape: Shape, crop: CropWhileDecoding | None, handles: Handles
) -> Reader:
    """Return a reader of an array: indices (N,) and random numbers of the crop (N, k) -> images (N, H, W, C).

    Args:
        spec: the recipe's `data` table, which says how to resize.
        shape: (H, W, C) of the result.
        crop: the random crop; None: the whole images are resized.
        handles: receives the Python function, so that it can be released.
    """
    height, width, _ = shape
    images, positions = cast(ArrayImages, split.images), split.positions

    def read(index, draws):
        batch = handles.numpy_function(lambda i: images.array[positions[i]], [index], tf.uint8)
        batch = tf.ensure_shape(batch, (index.shape[0], *images.shape))
        if crop:
            return crop_batch(batch, draws, crop, (height, width))
        if resizes(images, spec, shape):
            return resize(batch, (height, width), spec.resize, spec.short_side)
        return batch

    return read


def resizes(images: ArrayImages, spec: schema.Data, shape: Shape) -> bool:
    """Return whether uncropped images of an array are resized to the shape (H, W, C) of a batch."""
    return shape[:2] != images.shape[:2] or bool(spec.short_side)


def contents(split: Split, handles: Handles) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Return a reader from indices (N,) to file contents (N,) and decoding routes (N,), one Python call per batch."""
    images, positions = cast(EncodedStore, split.images), split.positions

    def read_all(indices):
        found = [images.read(int(positions[index])) for index in indices]
        return np.asarray(found, object), np.asarray([choose_route(one) for one in found], np.int32)

    def read(indices):
        encoded, routes = handles.numpy_function(read_all, [indices], (tf.string, tf.int32))
        return tf.ensure_shape(encoded, indices.shape), tf.ensure_shape(routes, indices.shape)

    return read


def from_files(split: Split, spec: schema.Data, shape: Shape, crop: CropWhileDecoding | None) -> Callable:
    """Return a decoder from (bytes, route, draws (k,)) to an image (H, W, C)."""
    height, width, channels = shape

    def read(encoded, route, draws):
        if crop:
            return crop_file(encoded, route, draws, crop, (height, width), channels)
        return resize(decode_routed(encoded, route, channels), (height, width), spec.resize, spec.short_side)

    return read


def from_kept(
    split: Split, spec: schema.Data, shape: Shape, crop: CropWhileDecoding | None, handles: Handles
) -> Reader:
    """Return a reader from (index, draws (k,)) to an image (H, W, C) of the decoded cache, resized if not cropped."""
    height, width, channels = shape
    images, positions = cast(EncodedStore, split.images), split.positions

    def compute(index):
        image = decode(images.read(int(positions[index])), channels)
        return (image if crop else resize(image, (height, width), spec.resize, spec.short_side)).numpy()

    # The pipelines of a training, consecutive or one per device, share the decoded images.
    key = (shape, spec.resize, spec.short_side, spec.cache, spec.cache_gb, crop is not None)
    if key not in split.kept:
        limit = int(spec.cache_gb * 2**30)
        split.kept[key] = DecodedImages(compute, limit=limit, on_disk=spec.cache == "disk")
    kept = split.kept[key]

    def read(index, draws):
        image = handles.numpy_function(lambda i: kept(int(i)), [index], tf.uint8)
        image = tf.ensure_shape(image, (None, None, channels) if crop else (height, width, channels))
        return crop_image(image, draws, crop, (height, width)) if crop else image

    return read

"""A `tf.data.Dataset` of (image, label), read into memory for random access."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from cnnrecipes.data.images.decode import reason
from cnnrecipes.data.images.image_store import EncodedImages
from cnnrecipes.errors import DataError

HOW = "give a data set of (image, label): images uint8 (H, W, C) or encoded as strings, labels whole numbers or names"


def read(dataset: tf.data.Dataset, split: str) -> tuple[Any, np.ndarray]:
    """Return the images and labels of a finite data set, batched or not, in its order; all are held in memory.

    Returns:
        images: an array (N, H, W, C) if all have one shape, otherwise EncodedImages (lossless PNG).
        labels: (N,).

    Raises:
        DataError: the data set is infinite or empty, has other elements, or fails while it is read.
    """
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"the {split} data set is infinite; remove its repeat()")
    images, labels = [], []
    try:
        for element in dataset.as_numpy_iterator():
            if not isinstance(element, tuple) or len(element) != 2:
                raise DataError(f"the {split} data set has elements of type {type(element).__name__}; {HOW}")
            some_images, some_labels = element if _is_batch(*element, split) else ([element[0]], [element[1]])
            images += list(some_images)
            labels += [_label(label) for label in some_labels]
    except tf.errors.OpError as error:
        raise DataError(
            f"the {split} data set fails after {len(images)} images: {reason(error)}; correct its map()"
        ) from None
    if not images:
        raise DataError(f"the {split} data set is empty; give at least one (image, label)")
    if isinstance(images[0], bytes):
        return EncodedImages(images), np.asarray(labels)
    shapes = {image.shape for image in images}
    if len(shapes) == 1:
        return np.stack(images), np.asarray(labels)
    if wrong := [image for image in images if image.dtype != np.uint8 or image.ndim != 3]:
        raise DataError(
            f"the {split} images differ in shape, so that each must be uint8 (H, W, C), and one is {wrong[0].dtype} "
            f"{wrong[0].shape}; {HOW}"
        )
    channels = {shape[-1] for shape in shapes}
    if not channels <= {1, 3}:
        raise DataError(f"the {split} images have {max(channels - {1, 3})} channels; give 1 or 3")
    return EncodedImages([tf.io.encode_png(image).numpy() for image in images], max(channels)), np.asarray(labels)


def _is_batch(image: Any, label: Any, split: str) -> bool:
    """Return True for a batch, False for one image. Raise DataError for any other element."""
    if isinstance(image, bytes):
        return False
    shape: tuple[int, ...] = image.shape if isinstance(image, np.ndarray) else ()
    encoded = len(shape) == 1 and image.dtype == object
    if not encoded and len(shape) not in (2, 3, 4):
        raise DataError(f"the {split} data set has images of type {type(image).__name__} and shape {shape}; {HOW}")
    # A batch of grayscale images without a channel axis has the rank of a single image.
    gray = len(shape) == 3 and shape[-1] not in (1, 3) and np.shape(label)[:1] == shape[:1]
    batch = encoded or gray or len(shape) == 4
    if batch and np.shape(label)[:1] != shape[:1]:
        raise DataError(
            f"the {split} data set has a batch of images {shape} with labels {np.shape(label)}: the numbers "
            f"of images and labels differ; {HOW}"
        )
    return batch


def _label(label: Any) -> Any:
    return label.decode() if isinstance(label, bytes) else label

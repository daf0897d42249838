"""A tf.data.Dataset of (image, label), held in memory so that any example of it can be read at any time."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from cnnrecipes.data.store import EncodedImages
from cnnrecipes.errors import DataError

HOW = "give one of (image, label): images uint8 (H, W, C) or encoded as strings, labels whole numbers or names"


def read(dataset: tf.data.Dataset, split: str) -> tuple[Any, np.ndarray]:
    """Images and labels of a finite data set, in batches or not, in its order.

    Returns:
        an array (N, H, W, C) where the images are of one shape, otherwise EncodedImages, losslessly as PNG.

    Raises:
        DataError: it is endless, has other elements, or fails while it is read.
    """
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"the {split} data set has no end; take the repeat() out")
    images, labels = [], []
    try:
        for element in dataset.as_numpy_iterator():
            if not isinstance(element, tuple) or len(element) != 2:
                raise DataError(f"the {split} data set has elements of type {type(element).__name__}; {HOW}")
            batched = np.ndim(element[0]) == 4 or (np.ndim(element[0]) == 1 and not isinstance(element[0], bytes))
            some_images, some_labels = element if batched else ([element[0]], [element[1]])
            images += list(some_images)
            labels += [_label(label) for label in some_labels]
    except tf.errors.OpError as error:
        raise DataError(f"the {split} data set fails after {len(images)} images: {error.message}") from None
    if not images:
        raise DataError(f"the {split} data set is empty")
    if isinstance(images[0], bytes):
        return EncodedImages(images), np.asarray(labels)
    shapes = {image.shape for image in images}
    if len(shapes) == 1:
        return np.stack(images), np.asarray(labels)
    if {image.dtype for image in images} != {np.dtype(np.uint8)} or {len(shape) for shape in shapes} != {3}:
        raise DataError(f"the {split} images differ in shape and are {images[0].dtype}; {HOW}")
    return EncodedImages([tf.io.encode_png(image).numpy() for image in images], images[0].shape[-1]), np.asarray(labels)


def _label(label: Any) -> Any:
    return label.decode() if isinstance(label, bytes) else label

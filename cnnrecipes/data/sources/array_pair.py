"""Images and labels of one split, given as arrays or as a `tf.data.Dataset`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cnnrecipes.data.images.image_store import EncodedImages
from cnnrecipes.data.sources import tf_dataset
from cnnrecipes.errors import DataError

HOW = "give data=(images, labels), or data={'train': (images, labels), 'test': (...), 'class_names': [...]}"


class ArrayPair(NamedTuple):
    """Images as given and labels (N,); `columns` is the number of classes if the labels were one-hot."""

    images: Any
    labels: np.ndarray
    columns: int | None = None


def array_pair(split: str, pair: Any, say: Callable[[str], None]) -> ArrayPair:
    """Return the images and labels of one split.

    Args:
        split: name of the split, for error messages.
        pair: `(images, labels)` or a `tf.data.Dataset` of them.
        say: called with one line for each conversion.

    Raises:
        DataError: not a pair, or labels of an unsupported shape or type.
    """
    if isinstance(pair, tf.data.Dataset):
        pair = tf_dataset.read(pair, split)
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise DataError(f"{split} is {type(pair).__name__}; {HOW}")
    images, labels = pair
    if all(isinstance(one, (tuple, list)) and len(one) == 2 and np.ndim(one[0]) > 2 for one in pair):
        raise DataError(
            f"{split} is a pair of pairs, which keras.datasets' load_data() returns; "
            "give data={'train': data[0], 'test': data[1]}"
        )
    columns = [str(name) for name in labels.columns] if hasattr(labels, "columns") else None
    labels = _array(labels, f"the {split} labels")
    if labels.ndim > 2 and not isinstance(images, EncodedImages) and np.ndim(images) < 3:
        raise DataError(f"{split} has images of shape {np.shape(images)} and labels of {labels.shape}; swap the two")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2:
        return _one_hot(split, images, labels, columns, say)
    if labels.ndim != 1:
        raise DataError(f"{split} labels have shape {labels.shape}; give (N,), or one-hot labels (N, classes)")
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and np.array_equal(labels, labels.round()):
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iuU" and not all(isinstance(label, str) for label in labels.tolist()):
        odd = next((one for one in labels.tolist() if not isinstance(one, (int, str)) or isinstance(one, bool)), None)
        raise DataError(
            f"{split} labels are of type {labels.dtype}, for example {odd!r}; give integers or names, no missing values"
        )
    return ArrayPair(images, labels)


def _one_hot(split: str, images: Any, labels: np.ndarray, names: list[str] | None, say) -> ArrayPair:
    """Convert one-hot labels (N, classes) to class numbers, or to the names of their columns."""
    if labels.dtype.kind not in "biuf" or not np.isin(labels, (0, 1)).all() or (labels.sum(axis=1) != 1).any():
        sums = labels.sum(axis=1) if labels.dtype.kind in "biuf" else np.empty(0)
        first = int(np.argmax(sums != 1)) if (sums != 1).any() else 0
        raise DataError(
            f"{split} labels have shape {labels.shape} and are not one-hot, for example {labels[first].tolist()} in "
            f"row {first}; give one class per image: (N,) numbers or names, or rows with a single 1"
        )
    numbers = labels.argmax(axis=1)
    say(f"the {split} labels {labels.shape} are one-hot: taken as {labels.shape[1]} classes")
    if names is not None:
        return ArrayPair(images, np.asarray(names)[numbers])
    return ArrayPair(images, numbers, labels.shape[1])


def _array(values: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError:
        raise DataError(f"{what} differ in shape; give one array of one shape") from None

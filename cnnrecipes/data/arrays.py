"""Images and labels that the user has as arrays, and the digits that scikit-learn ships."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from cnnrecipes.data import datasets
from cnnrecipes.data.store import ArrayImages, EncodedImages, Pool
from cnnrecipes.errors import DataError, UnknownNameError

KEYS = ("train", "validation", "test", "class_names")
HOW = "give data=(images, labels), or data={'train': (images, labels), 'test': (...), 'class_names': [...]}"


def read(data: Any) -> tuple[tuple[str, ...], dict[str, Pool]]:
    """Class names and splits of `(images, labels)` or of a mapping as `HOW` says.

    Images are (N, H, W, C) or (N, H, W), uint8 or whole numbers 0..255; labels (N,) or (N, 1), integers or names.
    Without class names, the distinct labels are the classes, in their order. uint8 images are used where they lie.

    Raises:
        DataError: shapes, ranges or labels that do not fit.
    """
    splits = dict(data) if isinstance(data, Mapping) else {"train": data}
    if hasattr(data, "class_names"):  # of keras.utils.image_dataset_from_directory
        splits["class_names"] = data.class_names
    for key in splits:
        if key not in KEYS:
            raise UnknownNameError("key of data", key, KEYS)
    given_names = splits.pop("class_names", None)
    if "train" not in splits:
        raise DataError(f"data has no 'train'; {HOW}")
    pairs = {split: _pair(split, pair) for split, pair in splits.items()}
    class_names, to_index = _classes([labels for _, labels in pairs.values()], given_names)
    pools = {}
    for split, (array, labels) in pairs.items():
        encoded = isinstance(array, EncodedImages)
        images = array if encoded else ArrayImages(as_images(array, f"the {split} images"))
        indices = [to_index.get(label, -1) for label in labels.tolist()]
        unknown = [label for label, index in zip(labels.tolist(), indices, strict=True) if index < 0]
        if unknown:
            raise DataError(f"{split} label {unknown[0]!r} is none of the {len(class_names)} classes")
        if len(images) != len(labels):
            raise DataError(f"{split} has {len(images)} images and {len(labels)} labels; give one label for each image")
        pools[split] = Pool(images, np.asarray(indices, np.int32))
    shapes = {s: pool.images.shape for s, pool in pools.items() if isinstance(pool.images, ArrayImages)}
    if len(set(shapes.values())) > 1:
        raise DataError(f"the splits' images differ in shape: {shapes}; bring them to one size and channel count")
    return class_names, pools


def as_images(array: Any, what: str) -> np.ndarray:
    """A uint8 array (N, H, W, C) of 1 or 3 channels; the same memory where `array` is one. Raises DataError."""
    array = _array(array, what)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise DataError(f"{what} have shape {array.shape}; give (N, H, W, C) with 1 or 3 channels, or (N, H, W)")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "iuf":
        raise DataError(f"{what} are of type {array.dtype}; give numbers, 0..255")
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 255):
        raise DataError(f"{what} have values {low:g}..{high:g}; give 0..255")
    if array.dtype.kind == "f" and 0 < high <= 1:
        raise DataError(f"{what} have values {low:g}..{high:g}, as scaled to 0..1; give (images * 255).round(), 0..255")
    rounded = array.astype(np.uint8)
    if array.dtype.kind == "f" and not np.array_equal(rounded, array):
        raise DataError(f"{what} have fractions; give whole numbers 0..255, for example images.round()")
    return rounded


def digits() -> Mapping[str, Any]:
    """The 1,797 handwritten digits of scikit-learn, (8, 8, 1); their 0..16 is brought to 0..255."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images * (255 / 16)).round().astype(np.uint8)
    return {"train": (images, data.target), "class_names": [str(name) for name in data.target_names]}


def _pair(split: str, pair: Any) -> tuple[Any, np.ndarray]:
    if isinstance(pair, tf.data.Dataset):
        pair = datasets.read(pair, split)
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise DataError(f"{split} is {type(pair).__name__}; {HOW}")
    labels = _array(pair[1], f"the {split} labels")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(
            f"{split} labels have shape {labels.shape}; give (N,), for one-hot labels labels.argmax(axis=1)"
        )
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and np.array_equal(labels, labels.round()):
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iuU" and not all(isinstance(label, str) for label in labels.tolist()):
        raise DataError(f"{split} labels are of type {labels.dtype}; give integers or names, without gaps")
    return pair[0], labels


def _array(values: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError:
        raise DataError(f"{what} differ in shape among themselves; bring them to one shape, as one array") from None


def _classes(labels: list[np.ndarray], names: Any) -> tuple[tuple[str, ...], dict[Any, int]]:
    """Class names, and label -> class number."""
    found = set().union(*(set(part.tolist()) for part in labels))
    if len({isinstance(label, str) for label in found}) > 1:
        raise DataError("labels are names in one place and numbers in another; give the same kind in every split")
    distinct = sorted(found)
    if names is None:
        return tuple(str(label) for label in distinct), {label: i for i, label in enumerate(distinct)}
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise DataError(f"class_names is {names!r}; give a list of names")
    names = tuple(str(name) for name in names)
    if len(set(names)) != len(names):
        raise DataError(f"class_names repeat a name: {list(names)}")
    by_name = all(isinstance(label, str) for label in distinct)
    outside = [label for label in distinct if (label not in names if by_name else not 0 <= label < len(names))]
    if outside:
        raise DataError(
            f"label {outside[0]!r} does not fit {len(names)} class names; "
            f"give integers 0..{len(names) - 1}, or names of them"
        )
    return names, {label: names.index(label) if by_name else label for label in distinct}

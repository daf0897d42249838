"""Images and labels that the user has as arrays, and the digits that scikit-learn ships."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cnnrecipes.data.images.image_store import ArrayImages, EncodedImages, Pool
from cnnrecipes.data.images.pixel_values import as_images, scale_of
from cnnrecipes.data.sources import tf_dataset
from cnnrecipes.data.sources.split_names import split_of
from cnnrecipes.errors import DataError, UnknownNameError

KEYS = ("train", "validation", "test", "class_names")
HOW = "give data=(images, labels), or data={'train': (images, labels), 'test': (...), 'class_names': [...]}"


class _Pair(NamedTuple):
    """Images as given and their labels (N,); `columns`: the classes of one-hot labels, which are numbers now."""

    images: Any
    labels: np.ndarray
    columns: int | None = None


def read(
    data: Any, *, say: Callable[[str], None] = lambda text: None, known: Sequence[str] | None = None
) -> tuple[tuple[str, ...], dict[str, Pool]]:
    """Class names and splits of `(images, labels)` or of a mapping as `HOW` says.

    Images are as `values.as_images` takes them, in one range in all splits; labels (N,) or (N, 1), integers or names,
    or one-hot (N, classes). Without class names, the distinct labels are the classes, in their order. uint8 images are
    used where they lie.

    Args:
        say: told in a line of what was converted.
        known: a model's class names, for data that is measured by it: labels become its numbers. Names (and numbers,
            where the model's own names are numbers) are looked up; other numbers are its class numbers. No split is
            needed then, and not every class.

    Raises:
        DataError: shapes, ranges or labels that do not fit.
    """
    splits, given_names = _splits(data)
    if known is None and "train" not in splits:
        raise DataError(f"data has no 'train'; {HOW}")
    pairs = {split: _pair(split, pair, say) for split, pair in splits.items()}
    if known is None:
        class_names, to_index = _classes(pairs.values(), given_names)
    else:
        class_names, to_index = tuple(known), _known_classes(pairs.values(), given_names, known)
    scale = _common_scale(pairs)
    pools = {}
    for split, pair in pairs.items():
        encoded = isinstance(pair.images, EncodedImages)
        images = pair.images if encoded else ArrayImages(as_images(pair.images, f"the {split} images", say, scale))
        if len(images) != len(pair.labels):
            raise DataError(
                f"{split} has {len(images)} images and {len(pair.labels)} labels; give one label for each image"
            )
        indices = [to_index[label] for label in pair.labels.tolist()]
        pools[split] = Pool(images, np.asarray(indices, np.int32))
    shapes = {s: pool.images.shape for s, pool in pools.items() if isinstance(pool.images, ArrayImages)}
    if len(set(shapes.values())) > 1:
        raise DataError(f"the splits' images differ in shape: {shapes}; bring them to one size and channel count")
    return class_names, pools


def digits() -> Mapping[str, Any]:
    """The 1,797 handwritten digits of scikit-learn, (8, 8, 1); their 0..16 is brought to 0..255."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images * (255 / 16)).round().astype(np.uint8)
    return {"train": (images, data.target), "class_names": [str(name) for name in data.target_names]}


def _splits(data: Any) -> tuple[dict[str, Any], Any]:
    """Return the value given for each split, and the given class names. Raises DataError, UnknownNameError."""
    given = dict(data) if isinstance(data, Mapping) else {"train": data}
    if hasattr(data, "class_names"):  # of keras.utils.image_dataset_from_directory
        given["class_names"] = data.class_names
    names, splits = given.pop("class_names", None), {}
    for key, pair in given.items():
        split = (split_of(key) or key) if isinstance(key, str) else key
        if split not in KEYS:
            raise UnknownNameError("key of data", key, KEYS)
        if split in splits:
            raise DataError(f"data has {split} twice, once as {key!r}; give each split once")
        splits[split] = pair
    return splits, names


def _common_scale(pairs: Mapping[str, _Pair]) -> str | None:
    """The range of the splits' floats, 0..1 or 0..255; None: none has floats. Raises DataError where they differ."""
    scales = {}
    for split, pair in pairs.items():
        if not isinstance(pair.images, EncodedImages) and (scale := scale_of(pair.images, f"the {split} images")):
            scales[split] = scale
    if len(set(scales.values())) > 1:
        shown = ", ".join(f"{split} images {scale}" for split, scale in scales.items())
        raise DataError(f"the splits' values differ in range: {shown}; give all of them as 0..255, or all as 0..1")
    return next(iter(scales.values()), None)


def _pair(split: str, pair: Any, say: Callable[[str], None]) -> _Pair:
    if isinstance(pair, tf.data.Dataset):
        pair = tf_dataset.read(pair, split)
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise DataError(f"{split} is {type(pair).__name__}; {HOW}")
    images, labels = pair
    if all(isinstance(one, (tuple, list)) and len(one) == 2 and np.ndim(one[0]) > 2 for one in pair):
        raise DataError(
            f"{split} is a pair of pairs, as keras.datasets' load_data() gives; "
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
        raise DataError(f"{split} labels are of type {labels.dtype}, as {odd!r}; give integers or names, without gaps")
    return _Pair(images, labels)


def _one_hot(split: str, images: Any, labels: np.ndarray, names: list[str] | None, say) -> _Pair:
    """One-hot labels (N, classes) as numbers, or as the names of their columns. Raises DataError where they are not."""
    if labels.dtype.kind not in "biuf" or not np.isin(labels, (0, 1)).all() or (labels.sum(axis=1) != 1).any():
        sums = labels.sum(axis=1) if labels.dtype.kind in "biuf" else np.empty(0)
        first = int(np.argmax(sums != 1)) if (sums != 1).any() else 0
        raise DataError(
            f"{split} labels have shape {labels.shape} and are not one-hot, as {labels[first].tolist()} in row "
            f"{first}; give one class an image: (N,) numbers or names, or rows with a single 1"
        )
    numbers = labels.argmax(axis=1)
    say(f"the {split} labels {labels.shape} are one-hot: taken as {labels.shape[1]} classes")
    if names is not None:
        return _Pair(images, np.asarray(names)[numbers])
    return _Pair(images, numbers, labels.shape[1])


def _array(values: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError:
        raise DataError(f"{what} differ in shape among themselves; bring them to one shape, as one array") from None


def _classes(pairs: Iterable[_Pair], names: Any) -> tuple[tuple[str, ...], dict[Any, int]]:
    """Class names, and label -> class number."""
    distinct = _distinct(pairs)
    columns = {pair.columns for pair in pairs}
    if columns != {None}:
        if len(columns) > 1:
            raise DataError("one-hot labels differ in their number of classes between the splits; give all the same")
        distinct = list(range(*columns))  # a column that is never 1 is a class all the same
    if names is None:
        return tuple(str(label) for label in distinct), {label: i for i, label in enumerate(distinct)}
    names = _checked_names(names)
    by_name = all(isinstance(label, str) for label in distinct)
    outside = [label for label in distinct if (label not in names if by_name else not 0 <= label < len(names))]
    if outside:
        raise DataError(
            f"label {outside[0]!r} does not fit {len(names)} class names; "
            f"give integers 0..{len(names) - 1}, or names of them"
        )
    return names, {label: names.index(label) if by_name else label for label in distinct}


def _known_classes(pairs: Iterable[_Pair], names: Any, known: Sequence[str]) -> dict[Any, int]:
    """Label -> class number of the model that knows these classes. Raises DataError naming one that it does not."""
    distinct, index = _distinct(pairs), {name: i for i, name in enumerate(known)}
    if names is not None:
        _, numbers = _classes(pairs, names)
        called = {label: _checked_names(names)[number] for label, number in numbers.items()}
    elif any(pair.columns not in (None, len(known)) for pair in pairs):
        wrong = next(pair.columns for pair in pairs if pair.columns not in (None, len(known)))
        raise DataError(f"the one-hot labels have {wrong} columns, the model knows {len(known)} classes; give as many")
    else:
        numeric = all(name.lstrip("-").isdigit() for name in known) and all(pair.columns is None for pair in pairs)
        called = {
            label: label if isinstance(label, str) else str(label) if numeric else dict(enumerate(known)).get(label)
            for label in distinct
        }
    for label, name in called.items():
        if name not in index:
            raise DataError(
                f"the class {name or label!r} is none that the model knows: {', '.join(map(repr, known))}; leave it "
                "out, or name it as the model does"
            )
    return {label: index[name] for label, name in called.items()}


def _distinct(pairs: Iterable[_Pair]) -> list[Any]:
    """The labels of all splits, sorted. Raises DataError for names and numbers side by side."""
    found = set().union(*(set(pair.labels.tolist()) for pair in pairs))
    if len({isinstance(label, str) for label in found}) > 1:
        raise DataError("labels are names in one place and numbers in another; give the same kind in every split")
    return sorted(found)


def _checked_names(names: Any) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise DataError(f"class_names is {names!r}; give a list of names")
    names = tuple(str(name) for name in names)
    if len(set(names)) != len(names):
        raise DataError(f"class_names repeat a name: {list(names)}")
    return names

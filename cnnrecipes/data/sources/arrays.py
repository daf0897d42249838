"""Images and labels in arrays or in a `tf.data.Dataset`, with or without splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnrecipes.data.images.image_store import ArrayImages, EncodedImages, Pool
from cnnrecipes.data.images.pixel_values import as_images, scale_of
from cnnrecipes.data.sources.array_classes import classes_of, labels_of_model
from cnnrecipes.data.sources.array_pair import HOW, ArrayPair, array_pair
from cnnrecipes.data.sources.contents import Contents
from cnnrecipes.data.sources.data_source_base import Absent, DataSource, ReadOptions
from cnnrecipes.data.sources.registry import data_source
from cnnrecipes.data.sources.split_names import split_of
from cnnrecipes.errors import DataError, UnknownNameError

KEYS = ("train", "validation", "test", "class_names")


@data_source("arrays", order=30)
class Arrays(DataSource):
    """`(images, labels)`, a `tf.data.Dataset` of (image, label), or a mapping of splits to such."""

    def matches(self, data: Any) -> bool:
        return not isinstance(data, (str, Path)) or str(data) == "arrays"

    def read(self, data: Any, options: ReadOptions) -> Contents:
        if isinstance(data, (str, Path)):
            raise DataError(
                "this recipe was run on arrays, which are not saved; give them again as data=(images, labels)"
            )
        return Contents(*read(data, say=options.say, known=options.known_classes))

    def shown_name(self, data: Any) -> str:
        return "arrays"

    def absent(self, data: Any) -> Absent | None:
        return Absent("arrays") if isinstance(data, (str, Path)) else None


def read(
    data: Any, *, say: Callable[[str], None] = lambda text: None, known: Sequence[str] | None = None
) -> tuple[tuple[str, ...], dict[str, Pool]]:
    """Return the class names and the splits of arrays.

    Images have the shapes and ranges that `pixel_values.as_images` accepts, with one range in all splits. Labels are
    (N,) or (N, 1), integers or names, or one-hot (N, classes). Without class names, the classes are the sorted distinct
    labels. uint8 images are not copied.

    Args:
        data: `(images, labels)`, a `tf.data.Dataset`, or a mapping of "train", "validation" and "test" to such, with an
            optional "class_names".
        say: called with one line for each conversion.
        known: class names of a trained model that is evaluated on the data. Labels become its class numbers: names
            (and numbers, if the model's class names are numbers) are looked up, other numbers are class numbers. Any
            split and any of the classes suffice.

    Raises:
        DataError: the shapes, value ranges or labels do not match.
        UnknownNameError: an unknown key of a mapping.
    """
    splits, given_names = _splits(data)
    if known is None and "train" not in splits:
        raise DataError(f"data has no 'train'; {HOW}")
    pairs = {split: array_pair(split, pair, say) for split, pair in splits.items()}
    if known is None:
        class_names, to_index = classes_of(pairs.values(), given_names)
    else:
        class_names, to_index = tuple(known), labels_of_model(pairs.values(), given_names, known)
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


def _splits(data: Any) -> tuple[dict[str, Any], Any]:
    """Return the value of each split, and the class names. Raise UnknownNameError for another key."""
    given = dict(data) if isinstance(data, Mapping) else {"train": data}
    if hasattr(data, "class_names"):  # set by keras.utils.image_dataset_from_directory
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


def _common_scale(pairs: Mapping[str, ArrayPair]) -> str | None:
    """Return the range of float images, 0..1 or 0..255, or None without floats. Raise DataError if splits differ."""
    scales = {}
    for split, pair in pairs.items():
        if not isinstance(pair.images, EncodedImages) and (scale := scale_of(pair.images, f"the {split} images")):
            scales[split] = scale
    if len(set(scales.values())) > 1:
        shown = ", ".join(f"{split} images {scale}" for split, scale in scales.items())
        raise DataError(f"the splits' values differ in range: {shown}; give all of them as 0..255, or all as 0..1")
    return next(iter(scales.values()), None)

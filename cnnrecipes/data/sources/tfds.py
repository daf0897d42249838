"""Image classification sets of TensorFlow Datasets (TFDS), by name."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnrecipes._support import file_systems
from cnnrecipes._support.connectivity_check import why_unreachable
from cnnrecipes._support.cores import available_cores
from cnnrecipes.data.images.decode import decode_routed
from cnnrecipes.data.images.image_store import ArrayImages, EncodedImages, Pool
from cnnrecipes.data.sources.contents import SPLITS, Contents
from cnnrecipes.data.sources.data_source_base import Absent, DataSource, ReadOptions
from cnnrecipes.data.sources.registry import data_source, registered
from cnnrecipes.data.sources.tfds_records import DataSourceImages, open_records
from cnnrecipes.data.tf_data_defaults import mapped, without_autotuning
from cnnrecipes.errors import CNNRecipesError, DataError, UnknownNameError

# Stored size of a split in bytes above which it is not read into memory.
MEMORY_LIMIT = 2 * 2**30


@data_source("tfds", order=70)
class Tfds(DataSource):
    """The name of an image classification set of TensorFlow Datasets, optionally after "tfds:"."""

    form = "a TFDS name"

    def matches(self, data: Any) -> bool:
        return isinstance(data, str)

    def read(self, data: str, options: ReadOptions) -> Contents:
        return Contents(*read(data.removeprefix("tfds:")))

    def absent(self, data: str) -> Absent | None:
        """Return the metadata of a TFDS set that is not downloaded and prepared; None for a prepared set.

        Raises:
            UnknownNameError: TFDS has no set of the name `data`.
            DataError: it is not an image classification set.
        """
        about = describe(data.removeprefix("tfds:"))
        remedy = f"`cnnrecipes check-data {data}` downloads it"
        return None if about.prepared else Absent(data, len(about.class_names), about.shape, remedy)


def read(name: str) -> tuple[tuple[str, ...], dict[str, Pool]]:
    """Return the class names and splits of a TFDS set, which TFDS downloads and prepares the first time.

    Splits of up to MEMORY_LIMIT bytes are held in memory: decoded if all images have one size, otherwise encoded.
    Larger ones are read on demand: through `tfds.data_source` if stored as ArrayRecord, otherwise by an index.

    Raises:
        UnknownNameError: TFDS has no such set.
        DataError: the set cannot be downloaded, or is not an image classification set.
    """
    builder = _builder(name)
    if not builder.data_path.exists():
        _check_network(name, builder)
    try:
        builder.download_and_prepare()
    except Exception as error:  # network, disk or checksum errors: TFDS has no base class
        raise DataError(_absent(name, builder, f"could not be downloaded ({type(error).__name__}: {error})")) from error
    class_names = tuple(builder.info.features["label"].names)
    return class_names, {split: _pool(builder, split) for split in SPLITS if split in builder.info.splits}


class Description(NamedTuple):
    """Metadata of a TFDS set, known before its download; dimensions that differ between its images are None."""

    class_names: tuple[str, ...]
    shape: tuple[int | None, int | None, int | None]
    prepared: bool  # True if it is on this machine


def describe(name: str) -> Description:
    """Return the class names and image shape of a set, without a download.

    Raises:
        UnknownNameError: TFDS has no such set.
        DataError: not an image classification set.
    """
    builder = _builder(name)
    features = builder.info.features
    return Description(tuple(features["label"].names), tuple(features["image"].shape), builder.data_path.exists())


def _builder(name: str):
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name)
    except (tfds.core.registered.DatasetNotFoundError, ValueError, AssertionError) as error:
        known = tfds.list_builders(with_community_datasets=False)
        if name.partition("/")[0].partition(":")[0] not in known:
            raise _unknown(name, known) from None
        raise DataError(f"TFDS cannot open {name!r}: {error}; check the name, the config and the version") from None
    if not {"image", "label"} <= set(builder.info.features or {}):
        raise DataError(f"TFDS set {name!r} has no 'image' and 'label'; choose an image classification set")
    return builder


def _check_network(name: str, builder) -> None:
    """Raise DataError if no download server is reachable, where TFDS would retry ten times, for 200 s."""
    cached: set[str] = set()
    for info in Path(builder.data_dir_root, "downloads").rglob("*.INFO"):
        with contextlib.suppress(OSError, ValueError):
            cached.update(json.loads(info.read_text(encoding="utf-8")).get("urls", ()))
    why = why_unreachable(url for url in builder.url_infos or () if url not in cached)
    if why:
        raise DataError(_absent(name, builder, f"cannot be downloaded: {why}"))


def _absent(name: str, builder, why: str) -> str:
    return (
        f"TFDS set {name!r} is not in {builder.data_dir} and {why}; check the network, or point TFDS_DATA_DIR "
        "to where it is prepared"
    )


def _unknown(name: str, known: Sequence[str]) -> CNNRecipesError:
    """Return the error for an unknown name, which suggests the most similar data sets or, if more similar, files."""
    sources = registered()
    known = [*known, *(one for source in sources for one in source.names())]
    here = [] if file_systems.is_remote(name) else sorted(os.listdir())
    like_files, like_sets = (_closeness(name, names) for names in (here, known))
    if like_files >= max(like_sets, 0.6) or not re.fullmatch(r"[A-Za-z0-9_]+(:[0-9.*]+)?", name):
        *forms, last = (source.form for source in sources if source.form)
        return DataError(f"{name!r} does not exist{file_systems.nearest(name)}; give {', '.join(forms)} or {last}")
    remedy = "no folder or file here has that name either; a folder is given as ./folder"
    return UnknownNameError("data set", name, known, remedy)


def _closeness(name: str, names: Sequence[str]) -> float:
    """Return the similarity, 0 to 1, of a name to the most similar one of `names`; 0 if there are none."""
    return max((difflib.SequenceMatcher(None, name.lower(), one.lower()).ratio() for one in names), default=0.0)


def _pool(builder, split: str) -> Pool:
    import tensorflow_datasets as tfds

    info = builder.info.splits[split]
    if info.num_bytes > MEMORY_LIMIT:
        return _lazy_pool(builder, split)
    # In the order of the files, without interleaving: an example is identified by its position.
    order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    feature = builder.info.features["image"]
    raw = {"image": tfds.decode.SkipDecoding()}
    dataset = builder.as_dataset(split=split, shuffle_files=False, decoders=raw, read_config=order)
    dataset = without_autotuning(dataset)
    size = builder.info.splits[split].num_examples
    channels = feature.shape[-1] or 3
    if None in feature.shape or feature.np_dtype != np.uint8:
        items, labels = [], np.empty(size, np.int32)
        for i, example in enumerate(dataset.as_numpy_iterator()):
            items.append(example["image"])
            labels[i] = example["label"]
        return Pool(EncodedImages(items, channels), labels)
    array, labels = np.empty((size, *feature.shape), np.uint8), np.empty(size, np.int32)

    def read(example):
        return decode_routed(example["image"], 1, channels), example["label"]

    decoded = mapped(dataset, read, available_cores()).batch(1024)
    start = 0
    for images, some_labels in decoded.as_numpy_iterator():
        array[start : start + len(images)], labels[start : start + len(images)] = images, some_labels
        start += len(images)
    return Pool(ArrayImages(array), labels)


def _lazy_pool(builder, split: str) -> Pool:
    """Return images that are read from their files on demand, with labels in memory."""
    import tensorflow_datasets as tfds

    channels = builder.info.features["image"].shape[-1] or 3
    if builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
        source = builder.as_data_source(split=split, decoders={"image": tfds.decode.SkipDecoding()})
        labels = np.fromiter((example["label"] for example in source), np.int32, len(source))
        return Pool(DataSourceImages(source, channels), labels)
    return Pool(*open_records([str(path) for path in builder.info.splits[split].filepaths], channels))

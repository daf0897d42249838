"""TFDS data sets larger than memory: random access to single examples in the record files."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from cnnrecipes._support import remote_files, user_cache
from cnnrecipes._support.atomic_files import write_whole
from cnnrecipes.errors import DataError

# A TFRecord: length (8 bytes), its checksum (4), the content, its checksum (4).
_BEFORE, _AFTER = 12, 4


@dataclass(frozen=True)
class RecordImages:
    """Encoded images in TFRecord files, found by an index of 16 bytes an image."""

    files: Sequence[str]
    numbers: np.ndarray  # (N,) uint16, the file
    offsets: np.ndarray  # (N,) uint64, where the content begins in it
    lengths: np.ndarray  # (N,) uint32, of the content, in bytes
    channels: int = 3
    are_files = False  # they do not vanish one by one

    def __len__(self) -> int:
        return len(self.offsets)

    def read(self, position: int) -> bytes:
        """The encoded image."""
        with _opened(self.files[self.numbers[position]]) as file:
            file.seek(int(self.offsets[position]))
            content = file.read(int(self.lengths[position]))
        return _feature(content, "image").bytes_list.value[0]

    def label(self, position: int) -> str:
        """Return the name of this image in messages."""
        return f"record {position}"


@dataclass(frozen=True)
class DataSourceImages:
    """Encoded images of a `tfds.data_source`, as ArrayRecord files have them."""

    source: Any
    channels: int = 3
    are_files = False

    def __len__(self) -> int:
        return len(self.source)

    def read(self, position: int) -> bytes:
        """The encoded image."""
        return self.source[position]["image"]

    def label(self, position: int) -> str:
        """Return the name of this image in messages."""
        return f"record {position}"


def open_records(files: Sequence[str], channels: int) -> tuple[RecordImages, np.ndarray]:
    """Images and labels of TFRecord files of TFDS, indexed in one pass; the index is kept in the cache folder.

    Raises:
        DataError: a file is cut off, or its examples have no image and label.
    """
    paths = [file if remote_files.is_remote(file) else os.path.abspath(file) for file in files]
    kept = user_cache.folder() / "records" / f"{user_cache.fingerprint(paths)}.npz"
    try:
        with np.load(kept) as index:
            numbers, offsets, lengths, labels = (index[name] for name in ("numbers", "offsets", "lengths", "labels"))
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        numbers, offsets, lengths, labels = _index(paths)
        _keep(kept, numbers=numbers, offsets=offsets, lengths=lengths, labels=labels)
    return RecordImages(paths, numbers, offsets, lengths, channels), labels


def _index(paths: Sequence[str]) -> list[np.ndarray]:
    """File, offset, length and label of each record, gathered without a Python object for each."""
    kinds = (np.uint16, np.uint64, np.uint32, np.int32)
    columns = [array(np.dtype(kind).char) for kind in kinds]
    for number, path in enumerate(paths):
        for row in _scan(path):
            for column, value in zip(columns, (number, *row), strict=True):
                column.append(value)
    return [np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]


def _opened(path: str):
    return tf.io.gfile.GFile(path, "rb") if remote_files.is_remote(path) else open(path, "rb")


def _keep(path, **arrays: np.ndarray) -> None:
    def write(beside) -> None:
        with open(beside, "wb") as file:
            np.savez(file, **arrays)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, write)
    except OSError:
        pass  # found out anew the next time


def _scan(path: str) -> Iterator[tuple[int, int, int]]:
    """Offset, length and label of each record."""
    with _opened(path) as file:
        offset = 0
        while header := file.read(_BEFORE):
            if len(header) < _BEFORE:
                raise DataError(f"{path!r} is cut off at byte {offset}; prepare the set anew")
            (length,) = struct.unpack("<Q", header[:8])
            content = file.read(length)
            if len(content) < length or len(file.read(_AFTER)) < _AFTER:
                raise DataError(f"{path!r} is cut off at byte {offset}; prepare the set anew")
            yield offset + _BEFORE, length, int(_feature(content, "label").int64_list.value[0])
            offset += _BEFORE + length + _AFTER


def _feature(content: bytes, name: str):
    try:
        features = tf.train.Example.FromString(content).features.feature
    except Exception as error:  # protobuf's DecodeError, of a module that moves
        raise DataError(f"a record is no tf.train.Example ({error}); prepare the set anew") from None
    if name not in features:
        raise DataError(f"a record has no {name!r}; it has {', '.join(sorted(features))}")
    return features[name]

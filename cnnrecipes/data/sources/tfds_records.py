"""TFDS sets larger than memory: examples are read from their files on demand."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from cnnrecipes._support import file_systems, user_cache
from cnnrecipes._support.atomic_files import write_whole
from cnnrecipes.errors import DataError

# A TFRecord: length (8 bytes), its checksum (4), the content, its checksum (4).
_BEFORE, _AFTER = 12, 4


@dataclass(frozen=True)
class RecordImages:
    """Encoded images in TFRecord files, with an index of 16 bytes per image."""

    files: Sequence[str]
    numbers: np.ndarray  # (N,) uint16, position in `files`
    offsets: np.ndarray  # (N,) uint64, start of the content in bytes
    lengths: np.ndarray  # (N,) uint32, size of the content in bytes
    channels: int = 3
    are_files = False  # single images cannot be missing

    def __len__(self) -> int:
        return len(self.offsets)

    def read(self, position: int) -> bytes:
        """Return the encoded bytes of the image at a position."""
        with _opened(self.files[self.numbers[position]]) as file:
            file.seek(int(self.offsets[position]))
            content = file.read(int(self.lengths[position]))
        return _feature(content, "image").bytes_list.value[0]

    def label(self, position: int) -> str:
        """Return the name of the image at a position, for messages."""
        return f"record {position}"


@dataclass(frozen=True)
class DataSourceImages:
    """Encoded images of a `tfds.data_source`, for sets stored as ArrayRecord."""

    source: Any
    channels: int = 3
    are_files = False

    def __len__(self) -> int:
        return len(self.source)

    def read(self, position: int) -> bytes:
        """Return the encoded bytes of the image at a position."""
        return self.source[position]["image"]

    def label(self, position: int) -> str:
        """Return the name of the image at a position, for messages."""
        return f"record {position}"


def open_records(files: Sequence[str], channels: int) -> tuple[RecordImages, np.ndarray]:
    """Return the images and labels of TFRecord files of TFDS; their index is built in one pass and cached.

    Raises:
        DataError: a file is truncated, or its examples have no image and label.
    """
    paths = [file if file_systems.is_remote(file) else os.path.abspath(file) for file in files]
    cached = user_cache.folder() / "records" / f"{user_cache.fingerprint(paths)}.npz"
    try:
        with np.load(cached) as index:
            numbers, offsets, lengths, labels = (index[name] for name in ("numbers", "offsets", "lengths", "labels"))
        user_cache.mark_used(cached)
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        numbers, offsets, lengths, labels = _index(paths)
        _save_index(cached, numbers=numbers, offsets=offsets, lengths=lengths, labels=labels)
    return RecordImages(paths, numbers, offsets, lengths, channels), labels


def _index(paths: Sequence[str]) -> list[np.ndarray]:
    """Return file number, offset, length and label of every record in the files, as four arrays."""
    kinds = (np.uint16, np.uint64, np.uint32, np.int32)
    columns = [array(np.dtype(kind).char) for kind in kinds]
    for number, path in enumerate(paths):
        for row in _scan(path):
            for column, value in zip(columns, (number, *row), strict=True):
                column.append(value)
    return [np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]


def _opened(path: str):
    return tf.io.gfile.GFile(path, "rb") if file_systems.is_remote(path) else open(path, "rb")


def _save_index(path: Path, **arrays: Any) -> None:
    def write(beside) -> None:
        with open(beside, "wb") as file:
            np.savez(file, **arrays)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, write)
    except OSError:
        pass  # the index is built again next time


def _scan(path: str) -> Iterator[tuple[int, int, int]]:
    """Yield offset and length in bytes of the content, and the label, of each record of a TFRecord file."""
    with _opened(path) as file:
        offset = 0
        while header := file.read(_BEFORE):
            if len(header) < _BEFORE:
                raise DataError(f"{path!r} is truncated at byte {offset}; prepare the data set again")
            (length,) = struct.unpack("<Q", header[:8])
            content = file.read(length)
            if len(content) < length or len(file.read(_AFTER)) < _AFTER:
                raise DataError(f"{path!r} is truncated at byte {offset}; prepare the data set again")
            yield offset + _BEFORE, length, int(_feature(content, "label").int64_list.value[0])
            offset += _BEFORE + length + _AFTER


def _feature(content: bytes, name: str):
    try:
        features = tf.train.Example.FromString(content).features.feature
    except Exception as error:  # protobuf's DecodeError, whose module depends on the version
        raise DataError(
            f"a TFRecord of the data set is not a tf.train.Example ({error}); prepare the data set again"
        ) from None
    if name not in features:
        raise DataError(
            f"a TFRecord of the data set has no {name!r}, only {', '.join(sorted(features))}; give another set"
        )
    return features[name]

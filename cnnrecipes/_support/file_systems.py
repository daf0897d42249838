"""Files and folders, local or remote: gs://, s3:// and other file systems supported by TensorFlow."""

from __future__ import annotations

import difflib
import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")


def is_remote(path: object) -> bool:
    """Return True for a URL, for example "gs://bucket/photos"."""
    return "://" in str(path)


def join(folder: str, *names: str) -> str:
    """Join a folder, local or remote, with further path components."""
    return "/".join([folder.rstrip("/"), *names]) if is_remote(folder) else os.path.join(folder, *names)


def parent(path: str) -> str:
    """Return the parent folder of a path, local or remote."""
    return path.rpartition("/")[0] if is_remote(path) else os.path.dirname(path) or "."


def is_folder(path: str) -> bool:
    """Return True if the path is an existing folder. Raise DataError if a remote store is not accessible."""
    with _naming(path):
        return tf.io.gfile.isdir(path) if is_remote(path) else os.path.isdir(path)


def exists(path: str) -> bool:
    """Return True if the path exists. Raise DataError if a remote store is not accessible."""
    with _naming(path):
        return tf.io.gfile.exists(path) if is_remote(path) else os.path.exists(path)


def scan(folder: str) -> list[tuple[str, bool, bool]]:
    """List a folder: (name, is a folder, is a symbolic link) of each entry, sorted by name.

    Raises:
        DataError: the folder does not exist or cannot be read.
    """
    with _naming(folder):
        if is_remote(folder):
            names = sorted(name.rstrip("/") for name in tf.io.gfile.listdir(folder))
            return [(name, tf.io.gfile.isdir(join(folder, name)), False) for name in names]
        with os.scandir(folder) as entries:
            return sorted((entry.name, entry.is_dir(), entry.is_symlink()) for entry in entries)


def nearest(path: str) -> str:
    """Return " (did you mean ...?)" with paths similar to a missing local path; "" for none, or for a URL."""
    if is_remote(path):
        return ""
    parts = Path(path)
    below: list[str] = []
    while not os.path.isdir(parts.parent or "."):
        if parts == parts.parent:
            return ""
        parts, below = parts.parent, [parts.name, *below]
    try:
        here = [name for name in os.listdir(parts.parent) if not name.startswith(".")]
    except OSError:
        return ""
    lowered = {name.lower(): name for name in here}
    close = [lowered[name] for name in difflib.get_close_matches(parts.name.lower(), lowered, n=3, cutoff=0.6)]
    whole = [str(parts.parent.joinpath(name, *below)) for name in close]
    best = [name for name in whole if os.path.exists(name)] or [str(parts.parent / name) for name in close]
    return f" (did you mean {' or '.join(map(repr, best))}?)" if best else ""


def read(path: str) -> bytes:
    """Return the content of a file, local or remote. Raise OSError if it cannot be read."""
    if not is_remote(path):
        if not os.path.isfile(path) and os.path.exists(path):  # a pipe would be waited for without end
            raise OSError(errno.EINVAL, "not a regular file", path)
        with open(path, "rb") as file:
            return file.read()
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except tf.errors.OpError as error:
        raise OSError(str(error.message)) from None


def status(path: str) -> tuple[int, int]:
    """Return (size in bytes, modification time in nanoseconds) of a file. Raise OSError if it is not accessible."""
    if not is_remote(path):
        found = os.stat(path)
        return found.st_size, found.st_mtime_ns
    try:
        found = tf.io.gfile.stat(path)
    except tf.errors.OpError as error:
        raise OSError(str(error.message)) from None
    return found.length, found.mtime_nsec


@dataclass
class _naming:
    """Context manager that converts a file system error into a DataError naming the path."""

    path: str

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, OSError) or (is_remote(self.path) and isinstance(error, tf.errors.OpError)):
            why = getattr(error, "message", None) or getattr(error, "strerror", None) or error
            place = getattr(error, "filename", None) or self.path
            raise DataError(f"cannot read {place!r}: {why}; check the path and its permissions") from None

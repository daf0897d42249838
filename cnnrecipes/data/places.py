"""Files and folders, here or on a remote store: gs://, s3:// and whatever else TensorFlow's file systems know."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

import tensorflow as tf

from cnnrecipes.errors import DataError


def is_remote(path: object) -> bool:
    """Whether it is a URL, as "gs://bucket/photos"."""
    return "://" in str(path)


def join(folder: str, *names: str) -> str:
    """A path below a folder."""
    return "/".join([folder.rstrip("/"), *names]) if is_remote(folder) else os.path.join(folder, *names)


def parent(path: str) -> str:
    """The folder that a file lies in."""
    return path.rpartition("/")[0] if is_remote(path) else os.path.dirname(path) or "."


def is_folder(path: str) -> bool:
    """Whether there is such a folder. Raises DataError where a remote store cannot be asked."""
    with _naming(path):
        return tf.io.gfile.isdir(path) if is_remote(path) else os.path.isdir(path)


def exists(path: str) -> bool:
    """Whether there is such a file or folder."""
    with _naming(path):
        return tf.io.gfile.exists(path) if is_remote(path) else os.path.exists(path)


def walk(folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Folders from the top, each with its sub-folders and files, sorted, without hidden ones and links to folders.

    Raises:
        DataError: a folder that cannot be looked into.
    """
    with _naming(folder):
        for parent, folders, files in (
            tf.io.gfile.walk(folder) if is_remote(folder) else os.walk(folder, onerror=_raise)
        ):
            folders[:] = sorted(name.rstrip("/") for name in folders if not name.startswith("."))
            yield parent, folders, sorted(name for name in files if not name.startswith("."))


def subfolders(folder: str) -> list[str]:
    """The names of the folders in a folder, sorted; links count, hidden ones do not."""
    with _naming(folder):
        if is_remote(folder):
            names = [name.rstrip("/") for name in tf.io.gfile.listdir(folder)]
            return sorted(n for n in names if not n.startswith(".") and tf.io.gfile.isdir(join(folder, n)))
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def read(path: str) -> bytes:
    """The content of a file. Raises OSError, for a remote one too."""
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
    """Size in bytes and time of the last change in nanoseconds. Raises OSError."""
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
    """Turn what a file system raises into an error that names the place."""

    path: str

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, (OSError, tf.errors.OpError)):
            why = getattr(error, "message", None) or getattr(error, "strerror", None) or error
            place = getattr(error, "filename", None) or self.path
            raise DataError(f"cannot look into {place!r}: {why}") from None


def _raise(error: OSError) -> None:
    raise error

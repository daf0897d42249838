"""Per-file inspection results, decoded once and cached by size and modification time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from operator import attrgetter

import numpy as np
import tensorflow as tf
from PIL import Image

from cnnrecipes._support import file_systems, user_cache
from cnnrecipes.data.images.decode import HAS_HEIC, decode, reason
from cnnrecipes.data.images.header import read_header

_CHUNK = 256


@dataclass(frozen=True)
class FileInfo:
    """Inspection result of one image file; fields that could not be determined keep their defaults.

    Attributes:
        path: path, or a name for an image in memory.
        size: bytes.
        modified: modification time in nanoseconds; 0: the result is not cached.
        kind: image format, for example "jpeg"; "array" for a decoded image.
        width, height: pixels, after EXIF rotation.
        mode: Pillow's mode of the stored pixels.
        orientation: EXIF orientation, 1 to 8.
        digest: hash of the content.
        looks: difference hash (see `looks`), similar for similar images; "" for small images.
        flat: 1 if all pixels are equal.
        error: reason why the file cannot be read; "" if it can.
    """

    path: str
    size: int = 0
    modified: int = 0
    kind: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    orientation: int = 1
    digest: str = ""
    looks: str = ""
    flat: int = 0
    error: str = ""


_row = attrgetter(*(field.name for field in fields(FileInfo)[1:]))  # dataclasses.astuple makes deep copies


def inspect_files(paths: Sequence[str]) -> Iterator[FileInfo]:
    """Yield the inspection result of each file, in order; unchanged files are taken from the cache, others decoded."""
    columns = [field.name for field in fields(FileInfo)][1:]
    with user_cache.table("files-2", columns) as known, _pool() as pool:
        for start in range(0, len(paths), _CHUNK):
            chunk = [str(path) for path in paths[start : start + _CHUNK]]
            keys = [path if file_systems.is_remote(path) else os.path.abspath(path) for path in chunk]
            cached = known.find(keys)
            found = list(pool.map(_of, chunk, map(cached.get, keys)))
            fresh = {key: _row(one) for key, one in zip(keys, found, strict=True) if one.modified}
            known.put({key: row for key, row in fresh.items() if cached.get(key) != row})
            yield from found


def inspect_images(names: Sequence[str], read: Callable[[int], bytes | np.ndarray]) -> Iterator[FileInfo]:
    """Yield the inspection results of images in memory, in order; `read` is called from several threads."""
    with _pool() as pool:
        for start in range(0, len(names), _CHUNK):
            chunk = range(start, min(start + _CHUNK, len(names)))
            yield from pool.map(lambda i: describe(names[i], read(i)), chunk)


def _pool() -> ThreadPoolExecutor:
    """Return a thread pool of at least two threads, so that one image is read while another is decoded."""
    return ThreadPoolExecutor(max(2, os.cpu_count() or 1))


def _of(path: str, cached: tuple | None) -> FileInfo:
    try:
        size, modified = file_systems.status(path)
        if cached and cached[:2] == (size, modified):
            return FileInfo(path, *cached)
        content = file_systems.read(path)
    except OSError as error:
        return FileInfo(path, error=error.strerror or str(error))
    return describe(path, content, modified=modified)


def describe(path: str, content: bytes | np.ndarray, *, modified: int = 0) -> FileInfo:
    """Inspect an image, encoded bytes or a decoded array (H, W, C) uint8, that the result names `path`."""
    if isinstance(content, np.ndarray):
        digest = hashlib.blake2b(content.tobytes(), digest_size=16).hexdigest()
        return FileInfo(path, content.nbytes, modified, "array", digest=digest, **_seen(content))
    found = FileInfo(path, len(content), modified, digest=hashlib.blake2b(content, digest_size=16).hexdigest())
    try:
        header = read_header(content)
        if header.kind == "heic" and not HAS_HEIC:
            found = replace(found, modified=0)  # not cached, since a decoder may be installed later
        found = replace(found, kind=header.kind, mode=header.mode, orientation=header.orientation)
        image = decode(content, 3).numpy()
    except ValueError as error:
        return replace(found, error=str(error))
    except tf.errors.OpError as error:
        return replace(found, error=reason(error))
    return replace(found, **_seen(image))


def _seen(image: np.ndarray) -> dict:
    flat = int((image == image[0, 0]).all())
    large = min(image.shape[:2]) >= 16  # the hash of a smaller image is not distinctive
    return {"width": image.shape[1], "height": image.shape[0], "looks": looks(image) if large else "", "flat": flat}


def looks(image: np.ndarray) -> str:
    """Compute the difference hash of an image: signs of horizontal and vertical steps, 8 x 8, 128 bits in hex.

    The "difference hash" (Krawetz 2013), in both directions. image: (H, W, 1 or 3), uint8.
    """
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).convert("L")
    gray = np.asarray(picture.resize((9, 9), Image.Resampling.BOX), np.int16)
    rises = np.concatenate([gray[:8, 1:] > gray[:8, :-1], gray[1:, :8] > gray[:-1, :8]])
    return np.packbits(rises).tobytes().hex()

"""Per-file inspection results, decoded once and cached by size and modification time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from operator import attrgetter

import numpy as np
import tensorflow as tf
from PIL import Image

from cnnrecipes._support import remote_files, user_cache
from cnnrecipes.data.images.decode import HAS_HEIC, decode, reason
from cnnrecipes.data.images.header import read_header

_CHUNK = 256


@dataclass(frozen=True)
class FileFacts:
    """One file. Where `error` says why it cannot be read, what could not be found out is at its default."""

    path: str
    size: int = 0  # bytes
    modified: int = 0  # nanoseconds
    kind: str = ""
    width: int = 0  # as seen, after turning
    height: int = 0
    mode: str = ""
    orientation: int = 1
    digest: str = ""  # of the content
    looks: str = ""  # 128 bits as hexadecimal digits, alike for images that look alike
    flat: int = 0  # 1 where every pixel is the same
    error: str = ""


_row = attrgetter(*(field.name for field in fields(FileFacts)[1:]))  # dataclasses.astuple copies deeply


def facts(paths: Sequence[str]) -> Iterator[FileFacts]:
    """The facts of each file, in order; every file is decoded as training decodes it, unless it is known unchanged."""
    columns = [field.name for field in fields(FileFacts)][1:]
    with user_cache.table("files-2", columns) as known, _pool() as pool:
        for start in range(0, len(paths), _CHUNK):
            chunk = [str(path) for path in paths[start : start + _CHUNK]]
            keys = [path if remote_files.is_remote(path) else os.path.abspath(path) for path in chunk]
            remembered = known.find(keys)
            found = list(pool.map(lambda path, key: _of(path, remembered.get(key)), chunk, keys))  # noqa: B023
            fresh = {key: _row(one) for key, one in zip(keys, found, strict=True) if one.modified}
            known.put({key: row for key, row in fresh.items() if remembered.get(key) != row})
            yield from found


def facts_in_memory(names: Sequence[str], read: Callable[[int], bytes | np.ndarray]) -> Iterator[FileFacts]:
    """The facts of images that lie in no files of their own, in order; `read` is called in several threads."""
    with _pool() as pool:
        for start in range(0, len(names), _CHUNK):
            chunk = range(start, min(start + _CHUNK, len(names)))
            yield from pool.map(lambda i: describe(names[i], read(i)), chunk)


def _pool() -> ThreadPoolExecutor:
    """At least two, so that one image is read while another is decoded."""
    return ThreadPoolExecutor(max(2, os.cpu_count() or 1))


def _of(path: str, remembered: tuple | None) -> FileFacts:
    try:
        size, modified = remote_files.status(path)
        if remembered and remembered[:2] == (size, modified):
            return FileFacts(path, *remembered)
        content = remote_files.read(path)
    except OSError as error:
        return FileFacts(path, error=error.strerror or str(error))
    return describe(path, content, modified=modified)


def describe(path: str, content: bytes | np.ndarray, *, modified: int = 0) -> FileFacts:
    """The facts of an encoded image, or of a decoded one (H, W, C), uint8; `path` is what to call it."""
    if isinstance(content, np.ndarray):
        digest = hashlib.blake2b(content.tobytes(), digest_size=16).hexdigest()
        return FileFacts(path, content.nbytes, modified, "array", digest=digest, **_seen(content))
    known = {"size": len(content), "modified": modified}
    known["digest"] = hashlib.blake2b(content, digest_size=16).hexdigest()
    try:
        header = read_header(content)
        if header.kind == "heic" and not HAS_HEIC:
            known["modified"] = 0  # not remembered, since a reader may be installed
        known |= {"kind": header.kind, "mode": header.mode, "orientation": header.orientation}
        image = decode(content, 3).numpy()
    except ValueError as error:
        return FileFacts(path, **known, error=str(error))
    except tf.errors.OpError as error:
        return FileFacts(path, **known, error=reason(error))
    return FileFacts(path, **known, **_seen(image))


def _seen(image: np.ndarray) -> dict:
    flat = int((image == image[0, 0]).all())
    # Of an image of a few pixels the looks tell nothing.
    telling = min(image.shape[:2]) >= 16
    return {"width": image.shape[1], "height": image.shape[0], "looks": looks(image) if telling else "", "flat": flat}


def looks(image: np.ndarray) -> str:
    """Compute the difference hash of an image: signs of horizontal and vertical steps, 8 x 8, 128 bits in hex.

    The "difference hash" (Krawetz 2013), in both directions. image: (H, W, 1 or 3), uint8.
    """
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).convert("L")
    gray = np.asarray(picture.resize((9, 9), Image.Resampling.BOX), np.int16)
    rises = np.concatenate([gray[:8, 1:] > gray[:8, :-1], gray[1:, :8] > gray[:-1, :8]])
    return np.packbits(rises).tobytes().hex()

"""Cache of decoded images, in memory or on disk, up to a size limit."""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from collections.abc import Callable

import numpy as np

from cnnrecipes._support import user_cache
from cnnrecipes.errors import DataError


class DecodedImages:
    """Cache of decoded images by position, up to `limit` bytes; images beyond the limit are computed on each call.

    Thread-safe. On disk it is one unnamed temporary file, which the system deletes when the process ends.

    Args:
        compute: returns the image (H, W, C), uint8, at a position.
        limit: bytes.
        on_disk: cache in a temporary file instead of memory.
    """

    def __init__(self, compute: Callable[[int], np.ndarray], *, limit: int, on_disk: bool):
        self._compute, self._limit = compute, limit
        self._kept: dict[int, np.ndarray | tuple[int, tuple[int, ...]]] = {}
        self._used, self._lock = 0, threading.Lock()
        self._file = _UnnamedFile() if on_disk else None

    def __call__(self, position: int) -> np.ndarray:
        """Return the image (H, W, C) at a position, uint8; the caller must not modify it."""
        kept = self._kept.get(position)
        if kept is None:
            return self._keep(position, self._compute(position))
        if isinstance(kept, np.ndarray):
            return kept
        (offset, shape), file = kept, self._file
        content = b"" if file is None else _read(file, int(np.prod(shape)), offset)
        if len(content) < np.prod(shape):  # closed meanwhile, or the disk fails
            return self._compute(position)
        return np.frombuffer(content, np.uint8).reshape(shape)

    def close(self) -> None:
        """Release the cached images and the file; running and later calls compute the image again."""
        with self._lock:
            self._limit, self._file = 0, None
            self._kept.clear()

    def _keep(self, position: int, image: np.ndarray) -> np.ndarray:
        with self._lock:
            offset, file = self._used, self._file
            if position in self._kept or offset + image.nbytes > self._limit:
                return image
            self._used += image.nbytes
            if file is None:
                self._kept[position] = image
                return image
        try:
            written = os.pwrite(file.descriptor, np.ascontiguousarray(image).tobytes(), offset)
        except OSError:  # the disk is full: no more is kept
            written, self._limit = 0, 0
        if written == image.nbytes:
            self._kept[position] = (offset, image.shape)
        return image


def _read(file: _UnnamedFile, size: int, offset: int) -> bytes:
    try:
        return os.pread(file.descriptor, size, offset)
    except OSError:
        return b""


class _UnnamedFile:
    """Unnamed temporary file, closed when the last reference to the object is released."""

    def __init__(self) -> None:
        folder = user_cache.folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                self.descriptor = os.dup(file.fileno())
        except OSError as error:
            raise DataError(
                f"data.cache = 'disk' cannot write to {str(folder)!r} ({error.strerror}); "
                "set CNNRECIPES_CACHE to another folder"
            ) from None
        weakref.finalize(self, os.close, self.descriptor).atexit = False

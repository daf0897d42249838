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
    """A cache of a function's results by position, up to `limit` bytes; what does not fit is recomputed each time.

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
        """Return the image (H, W, C), uint8, which must not be modified."""
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
        """Release the images and the file; running and later calls recompute their image."""
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
    """An unnamed temporary file, closed when the last thread that uses it releases it."""

    def __init__(self) -> None:
        folder = user_cache.folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                self.descriptor = os.dup(file.fileno())
        except OSError as error:
            raise DataError(
                f"data.cache = 'disk' cannot write to {str(folder)!r} ({error.strerror}); "
                "set CNNRECIPES_CACHE to another"
            ) from None
        weakref.finalize(self, os.close, self.descriptor).atexit = False

"""Decoded images, kept for the next epoch in memory or on disk, up to a limit."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable

import numpy as np

from cnnrecipes.data import cache
from cnnrecipes.errors import DataError


class DecodedImages:
    """What a function gave for a position, kept until `limit` bytes are; whatever is beyond is computed each time.

    Safe to use from many threads. On disk it is one file without a name, which vanishes with the process.
    """

    def __init__(self, compute: Callable[[int], np.ndarray], *, limit: int, on_disk: bool):
        self._compute, self._limit = compute, limit
        self._kept: dict[int, np.ndarray | tuple[int, tuple[int, ...]]] = {}
        self._used, self._lock = 0, threading.Lock()
        self._file = _open_file() if on_disk else None

    def __call__(self, position: int) -> np.ndarray:
        """The image (H, W, C), uint8; not to be written to."""
        kept = self._kept.get(position)
        if kept is None:
            return self._keep(position, self._compute(position))
        if self._file is None:
            return kept
        offset, shape = kept
        content = os.pread(self._file.fileno(), int(np.prod(shape)), offset)
        return np.frombuffer(content, np.uint8).reshape(shape)

    def _keep(self, position: int, image: np.ndarray) -> np.ndarray:
        with self._lock:
            offset = self._used
            if position in self._kept or offset + image.nbytes > self._limit:
                return image
            self._used += image.nbytes
        if self._file is None:
            self._kept[position] = image
            return image
        try:
            written = os.pwrite(self._file.fileno(), np.ascontiguousarray(image).tobytes(), offset)
        except OSError:  # the disk is full: no more is kept
            written, self._limit = 0, 0
        if written == image.nbytes:
            self._kept[position] = (offset, image.shape)
        return image


def _open_file():
    folder = cache.folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        raise DataError(
            f"data.cache = 'disk' cannot write to {str(folder)!r} ({error.strerror}); set CNNRECIPES_CACHE to another"
        ) from None

"""Image stores: a uint8 array, or encoded files, with random access."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cnnrecipes._support import file_systems


@dataclass(frozen=True)
class ArrayImages:
    """Images of one shape in an array (N, H, W, C), uint8 0..255; the array is never copied."""

    array: np.ndarray

    def __len__(self) -> int:
        return len(self.array)

    def read(self, position: int) -> np.ndarray:
        """Return the image at a position, (H, W, C) uint8."""
        return self.array[position]

    def label(self, position: int) -> str:
        """Return the name of the image at a position, for messages."""
        return f"image {position}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (H, W, C) of every image."""
        height, width, channels = self.array.shape[1:]
        return height, width, channels


class EncodedStore(Protocol):
    """Encoded images with random access: files, bytes in memory, or records of larger files."""

    @property
    def channels(self) -> int:
        """Number of channels to decode to, unless the recipe sets data.channels."""

    @property
    def are_files(self) -> bool:
        """True if each image is a file, which may be damaged or deleted."""

    def __len__(self) -> int: ...

    def read(self, position: int) -> bytes:
        """Return the encoded bytes of the image at a position."""

    def label(self, position: int) -> str:
        """Return the name of the image at a position, for messages."""


Images = ArrayImages | EncodedStore


@dataclass(frozen=True)
class EncodedImages:
    """Images of any shapes, as files (paths) or as encoded bytes in memory."""

    items: Sequence[str] | Sequence[bytes]
    channels: int = 3  # number of channels to decode to, unless the recipe sets data.channels

    def __len__(self) -> int:
        return len(self.items)

    @property
    def are_files(self) -> bool:
        """True for files, which may be damaged or deleted; False for bytes in memory."""
        return len(self.items) > 0 and not isinstance(self.items[0], bytes)

    def read(self, position: int) -> bytes:
        """Return the encoded bytes of the image at a position."""
        item = self.items[position]
        return item if isinstance(item, bytes) else file_systems.read(item)

    def label(self, position: int) -> str:
        """Return the path, or the number, of the image at a position, for messages."""
        item = self.items[position]
        return f"image {position}" if isinstance(item, bytes) else repr(str(item))


@dataclass(frozen=True)
class Pool:
    """Images, labels and groups as a data source reads them, before missing splits are split off."""

    images: Images
    labels: np.ndarray  # (N,) int32
    groups: np.ndarray | None = None  # (N,) group numbers; a group stays in one split

"""Where images lie: a uint8 array, or encoded files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnrecipes._support import remote_files


@dataclass(frozen=True)
class ArrayImages:
    """Images of one shape in one array (N, H, W, C), uint8 0..255; never copied whole."""

    array: np.ndarray

    def __len__(self) -> int:
        return len(self.array)

    def read(self, position: int) -> np.ndarray:
        """(H, W, C), uint8."""
        return self.array[position]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        return tuple(self.array.shape[1:])


@dataclass(frozen=True)
class EncodedImages:
    """Images of any shapes, as files (paths) or as encoded bytes in memory."""

    items: Sequence[str] | Sequence[bytes]
    channels: int = 3  # to decode to, unless the recipe says otherwise

    def __len__(self) -> int:
        return len(self.items)

    @property
    def are_files(self) -> bool:
        """Whether they lie in files, which may be damaged or vanish."""
        return len(self.items) > 0 and not isinstance(self.items[0], bytes)

    def read(self, position: int) -> bytes:
        """The encoded file."""
        item = self.items[position]
        return item if isinstance(item, bytes) else remote_files.read(item)

    def label(self, position: int) -> str:
        """What to call this image in a message."""
        item = self.items[position]
        return f"image {position}" if isinstance(item, bytes) else repr(str(item))


@dataclass(frozen=True)
class Pool:
    """Images and their labels, before anything is split off."""

    images: ArrayImages | EncodedImages
    labels: np.ndarray  # (N,) int32
    groups: np.ndarray | None = None  # (N,) numbers of what belongs together, and into one split

"""A data set with random access to its examples: class names, splits, and images as arrays or encoded files.

The images are stored once: uint8 arrays as given, encoded files as paths (or as bytes, from TFDS). A split is an array
of positions in them.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cnnrecipes.data.images.image_store import EncodedImages, Images
from cnnrecipes.data.images.releasable_functions import Handles
from cnnrecipes.data.sources.contents import Layout
from cnnrecipes.errors import DataError, listed


@dataclass(frozen=True)
class Split:
    """The examples of one split.

    Attributes:
        name: "train", "validation", "test", or "data" for data without splits.
        images: the images of the source, shared by its splits.
        labels: class numbers, (N,) int32.
        positions: positions in `images`, (N,) int64.
        groups: group numbers, (N,); a group stays in one split.
        left_out: unreadable file -> reason.
        kept: decoded images of readers, shared by all pipelines of this split.
        handles: open handles of the data sets that were made from this split.
    """

    name: str
    images: Images
    labels: np.ndarray
    positions: np.ndarray
    groups: np.ndarray | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    kept: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    handles: weakref.WeakSet[Handles] = field(default_factory=weakref.WeakSet, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.positions)

    def read(self, index: int) -> tuple[np.ndarray | bytes, int]:
        """Return the example at an index: an array (H, W, C) uint8 or encoded bytes, and the class number."""
        return self.images.read(int(self.positions[index])), int(self.labels[index])

    def files(self) -> list[str] | None:
        """Return the path of each image; None if the images are not separate files (arrays, bytes, TFDS records)."""
        images = self.images
        if not isinstance(images, EncodedImages) or not images.are_files:
            return None
        return [str(images.items[position]) for position in self.positions.tolist()]

    def close(self) -> None:
        """Close the tf.data pipelines made from this split and release decoded images; later pipelines still work."""
        for handles in list(self.handles):
            handles.close()
        while self.kept:
            self.kept.popitem()[1].close()


@dataclass(frozen=True)
class Source:
    """A data set: its name, class names in label order, and splits by name ("train", "validation", "test").

    A context manager that closes the splits on exit: their pipelines release images, decoded caches and files.

    Attributes:
        layout: the detected folder layout.
        divided: names of the splits that were split off the training images; the others are the data's own.
    """

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Split]
    layout: Layout = field(default_factory=Layout)
    divided: frozenset[str] = frozenset()

    def split(self, name: str) -> Split:
        """Return the split with this name. Raise DataError that lists the existing splits if there is none."""
        if name not in self.splits:
            raise DataError(f"{self.name} has no {name} split; it has {', '.join(self.splits)}")
        return self.splits[name]

    def close(self) -> None:
        """Close all splits; see `Split.close`."""
        for part in self.splits.values():
            part.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def check_class_names(self, expected: Sequence[str]) -> None:
        """Raise DataError unless the classes are the expected ones, in the same order."""
        if self.class_names != tuple(expected):
            raise DataError(
                f"{self.name} has the classes {quoted(self.class_names)}; the model has {quoted(expected)}; give data "
                "with the model's classes"
            )


def quoted(class_names: Sequence[str]) -> str:
    """Return class names for a message: quoted and comma-separated."""
    return listed(map(repr, class_names)) if class_names else "no class"

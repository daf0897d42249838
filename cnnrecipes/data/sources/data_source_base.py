"""Base classes of data sources: one class per kind of data, for example image folders, tables or TFDS names."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from cnnrecipes._support import file_systems
from cnnrecipes._support.console import silent
from cnnrecipes.data.sources.contents import Contents, Kind


@dataclass(frozen=True)
class ReadOptions:
    """Options of `DataSource.read`.

    Attributes:
        layout: meaning of the sub-folders of an image folder: "auto", "splits" or "classes".
        known_classes: class names of a trained model that is evaluated on the data; None for training. For evaluation,
            any split and any of these classes suffice.
        say: called with one line for each conversion of the data.
        progress: show the progress of downloads and unpacking.
    """

    layout: Kind = "auto"
    known_classes: tuple[str, ...] | None = None
    say: Callable[[str], None] = silent
    progress: bool = False

    @property
    def training(self) -> bool:
        """True if the data must have a training split with images of every class."""
        return self.known_classes is None


class Absent(NamedTuple):
    """Metadata of a data set that is not on this machine; `classes` and `shape` (H, W, C) are None if unknown."""

    name: str
    classes: int | None = None
    shape: tuple[int | None, int | None, int | None] | None = None
    remedy: str = ""  # how to download it


class DataSource(ABC):
    """Base class of a kind of data that `fit`, `evaluate`, `check_data` and `--data` accept; see `data_source`.

    Attributes:
        form: how such data is written, for error messages, for example "a folder" or "hf:NAME".
    """

    form: ClassVar[str] = ""

    @abstractmethod
    def matches(self, data: Any) -> bool:
        """Return True if this class reads `data`: a string, a path, or any object. Must not use the network."""

    @abstractmethod
    def read(self, data: Any, options: ReadOptions) -> Contents:
        """Return the images, labels and class names of `data`.

        Raises:
            DataError: the data does not exist, cannot be read, or its images and labels do not match.
        """

    def shown_name(self, data: Any) -> str:
        """Return the name of the data in messages."""
        return str(data)

    def recorded_name(self, data: Any) -> str:
        """Return the `data.name` that a recipe records; a resumed run opens the data by it from any folder."""
        return self.shown_name(data)

    def folder_name(self, data: Any) -> str:
        """Return the default name of a folder of results about the data, for example "photos"."""
        return Path(self.shown_name(data)).resolve().name or "data"

    def absent(self, data: Any) -> Absent | None:
        """Return the metadata of data that is not on this machine; None for local data. Must not use the network."""
        return None

    def names(self) -> Sequence[str]:
        """Return the names that `matches` accepts, to suggest for a misspelled name; () if they cannot be listed."""
        return ()


class PathSource(DataSource):
    """Base class of data sources that are a local path or a URL of a remote file system."""

    def recorded_name(self, data: str | Path) -> str:
        """Return the absolute path, or the URL."""
        return str(data) if file_systems.is_remote(data) else str(Path(data).expanduser().absolute())

    def absent(self, data: str | Path) -> Absent | None:
        """Return the metadata, only a name, of a path that does not exist or a URL; None for an existing path."""
        is_here = not file_systems.is_remote(data) and os.path.exists(local_path(data))
        return None if is_here else Absent(str(data))


def local_path(data: str | Path) -> str:
    """Return a path with the home folder expanded; a URL unchanged."""
    return str(data) if file_systems.is_remote(data) else str(Path(data).expanduser())

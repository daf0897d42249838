"""Directory tree of an image folder: images, other files and skipped entries, each level listed once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from cnnrecipes._support import file_systems
from cnnrecipes.data.images.decode import EXTENSIONS, OTHER_EXTENSIONS
from cnnrecipes.data.images.header import kind_of
from cnnrecipes.errors import DataError

# Entries that operating systems and archivers create, in lower case; macOS also creates "._name".
_JUNK = frozenset(
    (
        *("__macosx", ".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found"),
        *("system volume information", "__pycache__"),
    )
)


@dataclass(frozen=True)
class Level:
    """The entries of one folder, sorted by name, without hidden ones."""

    folders: list[str] = field(default_factory=list)
    linked: list[str] = field(default_factory=list)  # links to folders inside the data set
    images: list[str] = field(default_factory=list)
    other_images: list[str] = field(default_factory=list)  # of unsupported formats
    others: list[str] = field(default_factory=list)


class Tree:
    """The directory tree of an image folder below `root`, each folder listed when first used.

    Links to folders are followed for split and class folders, not deeper. Links out of the root are not followed,
    except for links to image files.

    Attributes:
        junk: entries that operating systems and archivers create.
        links: links that are not followed.
        unreadable: messages about folders that cannot be listed.
    """

    def __init__(self, root: str):
        self.root = root
        self._real = "" if file_systems.is_remote(root) else os.path.realpath(root)
        self._levels: dict[str, Level] = {}
        self._full: dict[str, bool] = {}
        self.junk: list[str] = []
        self.links: list[str] = []
        self.unreadable: list[str] = []

    def level(self, folder: str) -> Level:
        """Return the entries of a folder; none, and a message in `unreadable`, if the folder cannot be listed."""
        if folder not in self._levels:
            self._levels[folder] = self._list(folder)
        return self._levels[folder]

    def subfolders(self, folder: str) -> list[str]:
        """Return the names of a folder's sub-folders, including links."""
        level = self.level(folder)
        return sorted(level.folders + level.linked)

    def walk(self, folder: str) -> Iterator[tuple[str, Level]]:
        """Yield a folder and all folders below it, with their entries."""
        todo = [folder]
        while todo:
            here = todo.pop()
            level = self.level(here)
            yield here, level
            todo += [file_systems.join(here, name) for name in reversed(level.folders)]

    def holds_images(self, folder: str) -> bool:
        """Return True if a folder contains images at any depth, of supported formats or not."""
        if folder not in self._full:
            levels = (level for _, level in self.walk(folder))
            self._full[folder] = any(level.images or level.other_images for level in levels)
        return self._full[folder]

    def full(self, folder: str) -> list[str]:
        """Return the names of a folder's sub-folders that contain images at any depth."""
        return [name for name in self.subfolders(folder) if self.holds_images(file_systems.join(folder, name))]

    def _list(self, folder: str) -> Level:
        level = Level()
        try:
            entries = file_systems.scan(folder)
        except DataError as error:
            self.unreadable.append(str(error))
            return level
        for name, is_folder, is_link in entries:
            path = file_systems.join(folder, name)
            if name.lower() in _JUNK or name.startswith("._"):
                self.junk.append(path)
            elif name.startswith("."):
                continue
            elif is_link and not self._may_follow(path, is_folder):
                self.links.append(path)
            elif is_folder:
                (level.linked if is_link else level.folders).append(name)
            else:
                lowered = name.lower()
                kinds = ((EXTENSIONS, level.images), (OTHER_EXTENSIONS, level.other_images), ("", level.others))
                next(names for endings, names in kinds if lowered.endswith(endings)).append(name)
        return level

    def _may_follow(self, path: str, is_folder: bool) -> bool:
        """Return True for a link into the data set, except to a parent folder, or to an image file elsewhere."""
        real = os.path.realpath(path)
        inside = _is_within(real, self._real)
        if is_folder:
            return inside and not _is_within(os.path.realpath(os.path.dirname(path)), real)
        return inside or not os.path.exists(real) or _is_image(real)


def _is_within(path: str, folder: str) -> bool:
    """Return True if a path is the folder itself or lies below it; both must be real paths, without links."""
    return path == folder or path.startswith(os.path.join(folder, ""))


def _is_image(path: str) -> bool:
    """Return True if a file has the signature of an image; the content of other files must not be shown."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            return kind_of(file.read(64)) != "unknown"
    except OSError:
        return False

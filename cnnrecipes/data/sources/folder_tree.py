"""Folder tree, each level listed once: images, other files, and ignored entries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from cnnrecipes._support import remote_files
from cnnrecipes.data.images.decode import EXTENSIONS, OTHER_EXTENSIONS
from cnnrecipes.data.images.header import kind_of
from cnnrecipes.errors import DataError

# What systems and archivers leave behind, in lower case; "._name" is macOS' too.
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
    linked: list[str] = field(default_factory=list)  # links to folders that are in the data set
    images: list[str] = field(default_factory=list)
    other_images: list[str] = field(default_factory=list)  # of kinds that are not read
    others: list[str] = field(default_factory=list)


class Tree:
    """The folders below `root`, listed when they are asked for.

    Links to folders are followed where splits and classes stand, not below. What leads out of the root is not
    followed, except for links to image files.
    """

    def __init__(self, root: str):
        self.root = root
        self._real = "" if remote_files.is_remote(root) else os.path.realpath(root)
        self._levels: dict[str, Level] = {}
        self._full: dict[str, bool] = {}
        self.junk: list[str] = []  # what systems leave behind
        self.links: list[str] = []  # links that are not followed
        self.closed: list[str] = []  # why folders cannot be looked into

    def level(self, folder: str) -> Level:
        """List a folder; empty where it cannot be read, which `closed` then records."""
        if folder not in self._levels:
            self._levels[folder] = self._listed(folder)
        return self._levels[folder]

    def subfolders(self, folder: str) -> list[str]:
        """Names of the folders in a folder, links among them."""
        level = self.level(folder)
        return sorted(level.folders + level.linked)

    def walk(self, folder: str) -> Iterator[tuple[str, Level]]:
        """A folder and those below it."""
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            level = self.level(here)
            yield here, level
            waiting += [remote_files.join(here, name) for name in reversed(level.folders)]

    def holds_images(self, folder: str) -> bool:
        """Return whether a folder holds images at any depth, of supported formats or not."""
        if folder not in self._full:
            levels = (level for _, level in self.walk(folder))
            self._full[folder] = any(level.images or level.other_images for level in levels)
        return self._full[folder]

    def full(self, folder: str) -> list[str]:
        """Names of the sub-folders that hold images."""
        return [name for name in self.subfolders(folder) if self.holds_images(remote_files.join(folder, name))]

    def _listed(self, folder: str) -> Level:
        level = Level()
        try:
            entries = remote_files.scan(folder)
        except DataError as error:
            self.closed.append(str(error))
            return level
        for name, is_folder, is_link in entries:
            path = remote_files.join(folder, name)
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
        """A link inside the data set, to no folder that it lies in itself; or one to an image file elsewhere."""
        real = os.path.realpath(path)
        inside = _is_within(real, self._real)
        if is_folder:
            return inside and not _is_within(os.path.realpath(os.path.dirname(path)), real)
        return inside or not os.path.exists(real) or _is_image(real)


def _is_within(path: str, folder: str) -> bool:
    """Return whether a path is a folder or lies below it; both are real paths."""
    return path == folder or path.startswith(os.path.join(folder, ""))


def _is_image(path: str) -> bool:
    """Return whether a file starts with an image's magic bytes; contents of others are not shown."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            return kind_of(file.read(64)) != "unknown"
    except OSError:
        return False

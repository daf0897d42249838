"""Images of class folders, split by split, with the files that are left out and the problems."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from cnnrecipes._support import file_systems
from cnnrecipes._support.user_cache import storable
from cnnrecipes.data.audit.checks import DataFinding
from cnnrecipes.data.images.decode import HEIC
from cnnrecipes.data.images.image_store import EncodedImages, Pool
from cnnrecipes.data.sources.folder_tree import Level, Tree
from cnnrecipes.errors import counted, did_you_mean, listed


class FolderContents:
    """The images of class folders by split, the problems, and the files that are left out."""

    def __init__(self, tree: Tree):
        self.tree = tree
        self.problems: list[str] = []
        self._findings: list[DataFinding] = []
        self._outside: list[str] = []  # images outside of the class folders
        self._unsupported: list[str] = []  # images of unsupported formats
        self._others: list[str] = []

    def train(self, root: str, class_names: Sequence[str], every: bool = True) -> Pool:
        """Return the training images; if `every` is set, record a problem for each class without images."""
        if not class_names:
            self.problems.append(f"{root!r} has no sub-folders of images; put the images of each class in a folder")
        for name in class_names:
            if name != storable(name):
                self.problems.append(
                    f"the name of the folder {name!r} is not UTF-8; rename it, since it becomes a class name"
                )
        empty = [name for name in self.tree.subfolders(root) if name not in class_names]
        if empty:
            message = f"{counted(len(empty), 'folder')} without images, no class: {listed(empty)}; left out"
            self._findings.append(DataFinding("warning", "empty class", message))
        pool = self._pool(root, class_names)
        absent = np.flatnonzero(np.bincount(pool.labels, minlength=len(class_names)) == 0).tolist()
        for label in absent if every else ():
            where = file_systems.join(root, class_names[label])
            self.problems.append(f"class folder {where!r} has no usable images; {_remedy(self._unsupported)}")
        return pool

    def other(self, root: str, split: str, class_names: Sequence[str], empty: Collection[str]) -> Pool | None:
        """Return the images of a validation or test split; record a problem for each class that train does not have.

        None for a test split without labels.

        Args:
            empty: names of training folders without images; a class of such a name is a problem with its own message.
        """
        here = self.tree.full(root)
        if split == "test" and not here:
            count = sum(len(level.images) + len(level.other_images) for _, level in self.tree.walk(root))
            what = f"holds {counted(count, 'image')} in no class's folder" if count else "holds no images"
            self._findings.append(DataFinding("warning", "unlabeled", f"{root!r} {what}; left out", (root,)))
            return None
        unknown = [name for name in here if name not in class_names]
        for name in unknown:
            lacks = "has no images of" if name in empty else "does not have"
            self.problems.append(
                f"{file_systems.join(root, name)!r} is a class that train {lacks}{did_you_mean(name, class_names)}; "
                f"train has {listed(class_names)}"
            )
        pool = self._pool(root, class_names)
        if not unknown and not len(pool.labels):
            self.problems.append(
                f"{root!r} has no images in folders of the classes {listed(class_names)}; add some, or remove it"
            )
        return pool

    def loose_files(self, folder: str) -> None:
        """Record the files directly in a folder of classes or splits: they have no class and are left out."""
        level = self.tree.level(folder)
        self._record(folder, level)
        self._outside += [file_systems.join(folder, name) for name in level.images]

    def left_out(self) -> Iterator[DataFinding]:
        """Yield one finding per kind of files and folders that are left out, the most important first."""
        yield from self._findings
        found = (
            (
                "warning",
                "other kinds",
                self._unsupported,
                "image",
                f"of an unsupported format: {_kinds(self._unsupported)}",
            ),
            ("warning", "outside classes", self._outside, "image", "in no class's folder"),
            ("warning", "links", self.tree.links, "link", "out of the data set, or to a parent folder"),
            ("note", "other files", self._others, "file", "without an image's extension"),
            ("note", "system files", self.tree.junk, "system file", f"({_names(self.tree.junk)})"),
        )
        for severity, kind, files, noun, what in found:
            remedy = f"; {_remedy(files)}" if kind == "other kinds" else ""
            if files:
                yield DataFinding(severity, kind, f"{counted(len(files), noun)} {what}; left out{remedy}", tuple(files))

    def _pool(self, root: str, class_names: Sequence[str]) -> Pool:
        self.loose_files(root)
        here = set(self.tree.subfolders(root))
        paths, labels = [], []
        for label, name in enumerate(class_names):
            files = sorted(self._images(file_systems.join(root, name))) if name in here else []
            paths += files
            labels += [label] * len(files)
        return Pool(EncodedImages(paths), np.asarray(labels, np.int32))

    def _images(self, folder: str) -> Iterator[str]:
        for parent, level in self.tree.walk(folder):
            self._record(parent, level)
            self.tree.links += [file_systems.join(parent, name) for name in level.linked]
            yield from (file_systems.join(parent, name) for name in level.images)

    def _record(self, folder: str, level: Level) -> None:
        self._unsupported += [file_systems.join(folder, name) for name in level.other_images]
        self._others += [file_systems.join(folder, name) for name in level.others]


def _kinds(files: Sequence[str]) -> str:
    """Return the number of files by extension: "3 .heic, 1 .cr2"."""
    endings = Counter(os.path.splitext(file)[1].lower() for file in files)
    return listed(f"{n:,} {ending}" for ending, n in endings.most_common())


def _names(files: Sequence[str]) -> str:
    return listed(sorted({os.path.basename(file) for file in files}))


def _remedy(files: Sequence[str]) -> str:
    """Return the remedy for images of unsupported formats."""
    heic = any(file.lower().endswith(HEIC) for file in files)
    return ("`pip install cnnrecipes[heic]` reads HEIC; " if heic else "") + "convert them to JPEG or PNG"

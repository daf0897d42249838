"""Image folders: one sub-folder per class, or split folders of such; on this machine or on a remote file system."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cnnrecipes._support import file_systems
from cnnrecipes.data.sources.contents import Contents, Kind, Layout
from cnnrecipes.data.sources.data_source_base import PathSource, ReadOptions, local_path
from cnnrecipes.data.sources.folder_contents import FolderContents
from cnnrecipes.data.sources.folder_layout import find_roots, unwrapped
from cnnrecipes.data.sources.folder_tree import Tree
from cnnrecipes.data.sources.registry import data_source
from cnnrecipes.errors import DataError


@data_source("folder", order=60)
class Folder(PathSource):
    """An image folder: a `Path`, or a string with a separator, with "." or "~" first, or with the name of a folder."""

    form = "a folder"

    def matches(self, data: Any) -> bool:
        text = str(data)
        if isinstance(data, Path):
            return True
        if text.startswith("tfds:"):
            return False
        return os.sep in text or "/" in text or text.startswith((".", "~")) or Path(text).is_dir()

    def read(self, data: str | Path, options: ReadOptions) -> Contents:
        return read(local_path(data), options.layout, options.training)


def read(root: str | Path, kind: Kind = "auto", training: bool = True) -> Contents:
    """Return the contents of an image folder; its class names are the sorted names of the class folders.

    Args:
        kind: meaning of the sub-folders: "auto", "splits" or "classes".
        training: require a training split with images of every class; otherwise any split and any class suffice.

    Raises:
        DataError: the folder does not exist.
    """
    root = str(root)
    if not file_systems.is_folder(root):
        if file_systems.exists(root):
            raise DataError(f"{root!r} is not a folder; give a folder with one sub-folder of images for each class")
        raise DataError(
            f"{root!r} does not exist{file_systems.nearest(root)}; give a folder with one sub-folder of images for "
            "each class"
        )
    tree = Tree(root)
    try:
        roots = find_roots(tree, kind, training)
    except DataError as error:
        return Contents((), {}, Layout(root), (*tree.unreadable, str(error)))
    paths = {split: unwrapped(tree, file_systems.join(roots.root, name)) for split, name in roots.folders.items()}
    paths = paths or {"train": roots.root}
    known_by = [paths["train"]] if training else paths.values()
    class_names = tuple(sorted({name for path in known_by for name in tree.full(path)}))
    empty = set(tree.subfolders(paths["train"])) - set(class_names) if training else set()
    found, pools = FolderContents(tree), {}
    for split in paths:
        if split == "train":
            pools[split] = found.train(paths[split], class_names, training)
            continue
        path = unwrapped(tree, file_systems.join(roots.root, roots.folders[split]), frozenset(class_names) | empty)
        if pool := found.other(path, split, class_names, empty):
            pools[split] = pool
    folders = {split: name for split, name in roots.folders.items() if split in pools}
    for folder in {tree.root, roots.root} - set(paths.values()):
        found.loose_files(folder)
    layout = Layout(roots.root, folders, (*roots.left_out, *found.left_out()))
    return Contents(class_names, pools, layout, (*tree.unreadable, *found.problems))


def image_files(folder: str | Path) -> list[str]:
    """Return the sorted paths of the images in a folder and its sub-folders; links to folders are not followed."""
    levels = Tree(str(folder)).walk(str(folder))
    return sorted(file_systems.join(parent, name) for parent, level in levels for name in level.images)

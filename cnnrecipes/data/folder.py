"""A folder with one sub-folder a class, or with folders train, val and test of such; here or on a remote store."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from cnnrecipes.data import places
from cnnrecipes.data.cache import storable
from cnnrecipes.data.images import EXTENSIONS
from cnnrecipes.data.store import EncodedImages, Pool
from cnnrecipes.errors import DataError

SPLIT_NAMES = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}


def is_path(text: str) -> bool:
    """Whether `data.name` means a folder: it has a separator, begins with ".", "~", or names a directory here."""
    if text.startswith("tfds:"):
        return False
    return os.sep in text or "/" in text or text.startswith((".", "~")) or Path(text).is_dir()


def read(root: str | Path, training: bool = True) -> tuple[tuple[str, ...], dict[str, Pool]]:
    """Class names, sorted, and splits. Hidden entries and files of other extensions are passed over.

    training: whether there must be images to train on, of every class; without, any split and any class will do.

    Raises:
        DataError: no such folder, no class folders, an empty class, or a class that training does not have.
    """
    root = str(root)
    if not places.is_folder(root):
        reason = "is not a folder" if places.exists(root) else "does not exist"
        raise DataError(f"{root!r} {reason}; give a folder with one sub-folder of images for each class")
    folders = places.subfolders(root)
    if has_splits(folders):
        roots = {SPLIT_NAMES[name.lower()]: places.join(root, name) for name in folders}
        if (training and "train" not in roots) or len(roots) < len(folders):
            raise DataError(f"{root!r} has {', '.join(folders)}; give train, and at most one val and one test")
    else:
        roots = {"train": root}
    known_by = [roots["train"]] if training else roots.values()
    class_names = sorted({name for path in known_by for name in places.subfolders(path)})
    odd = [name for name in class_names if name != storable(name)]
    if odd:
        raise DataError(f"the name of the folder {odd[0]!r} is not UTF-8; rename it, since it becomes a class name")
    if not class_names:
        where = roots.get("train", root)
        raise DataError(f"{where!r} has no sub-folders; put the images of each class in a folder of its own")
    return tuple(class_names), {split: _read_split(path, split, class_names, training) for split, path in roots.items()}


def has_splits(folders: list[str]) -> bool:
    """Whether these sub-folders are splits, not classes."""
    return bool(folders) and {name.lower() for name in folders} <= set(SPLIT_NAMES)


def _read_split(root: str, split: str, class_names: list[str], training: bool) -> Pool:
    here = places.subfolders(root)
    unknown = sorted(set(here) - set(class_names))
    if unknown:
        where = places.join(root, unknown[0])
        raise DataError(f"{where!r} is a class that train does not have ({', '.join(class_names)})")
    paths, labels = [], []
    for label, name in enumerate(class_names):
        files = image_files(places.join(root, name)) if name in here else []
        if training and split == "train" and not files:
            where = places.join(root, name)
            raise DataError(f"class folder {where!r} has no images ({', '.join(EXTENSIONS)}); add some or remove it")
        paths += files
        labels += [label] * len(files)
    if not paths:
        raise DataError(f"{root!r} has no images in folders of the classes {', '.join(class_names)}; add or remove it")
    return Pool(EncodedImages(paths), np.asarray(labels, np.int32))


def image_files(folder: str | Path) -> list[str]:
    """Paths of the images in a folder and below it, sorted; links to folders are not followed."""
    found = []
    for parent, _, files in places.walk(str(folder)):
        found += [places.join(parent, name) for name in files if name.lower().endswith(EXTENSIONS)]
    return sorted(found)

"""A folder with one sub-folder a class, or with folders train, val and test of such."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from cnnrecipes.data.images import EXTENSIONS
from cnnrecipes.data.store import EncodedImages, Pool
from cnnrecipes.errors import DataError

SPLIT_NAMES = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}


def is_path(text: str) -> bool:
    """Whether `data.name` means a folder: it has a separator, begins with ".", "~", or names a directory here."""
    if text.startswith("tfds:"):
        return False
    return os.sep in text or "/" in text or text.startswith((".", "~")) or Path(text).is_dir()


def read(root: Path) -> tuple[tuple[str, ...], dict[str, Pool]]:
    """Class names, sorted, and splits. Hidden entries and files of other extensions are passed over.

    Raises:
        DataError: no such folder, no class folders, an empty class, or a class that training does not have.
    """
    if not root.is_dir():
        reason = "is not a folder" if root.exists() else "does not exist"
        raise DataError(f"{str(root)!r} {reason}; give a folder with one sub-folder of images for each class")
    folders = _subfolders(root)
    if folders and {name.lower() for name in folders} <= set(SPLIT_NAMES):
        roots = {SPLIT_NAMES[name.lower()]: root / name for name in folders}
        if "train" not in roots or len(roots) < len(folders):
            raise DataError(f"{str(root)!r} has {', '.join(folders)}; give train, and at most one val and one test")
    else:
        roots = {"train": root}
    class_names = _subfolders(roots["train"])
    if not class_names:
        raise DataError(
            f"{str(roots['train'])!r} has no sub-folders; put the images of each class in a folder of its own"
        )
    return tuple(class_names), {split: _read_split(path, split, class_names) for split, path in roots.items()}


def _read_split(root: Path, split: str, class_names: list[str]) -> Pool:
    unknown = sorted(set(_subfolders(root)) - set(class_names))
    if unknown:
        raise DataError(f"{str(root / unknown[0])!r} is a class that train does not have ({', '.join(class_names)})")
    paths, labels = [], []
    for label, name in enumerate(class_names):
        files = image_files(root / name) if (root / name).is_dir() else []
        if split == "train" and not files:
            raise DataError(
                f"class folder {str(root / name)!r} has no images ({', '.join(EXTENSIONS)}); add some or remove it"
            )
        paths += files
        labels += [label] * len(files)
    if not paths:
        raise DataError(
            f"{str(root)!r} has no images in folders of the classes {', '.join(class_names)}; add or remove it"
        )
    return Pool(EncodedImages(paths), np.asarray(labels, np.int32))


def image_files(folder: Path) -> list[str]:
    """Paths of the images in a folder and below it, sorted; links to folders are not followed."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            os.path.join(parent, name)
            for name in files
            if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
        ]
    return sorted(found)


def _subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))

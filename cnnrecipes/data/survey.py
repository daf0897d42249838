"""What lies in a folder of classes, and everything for which nothing can be trained on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from cnnrecipes.data import folder, places
from cnnrecipes.data.findings import Finding
from cnnrecipes.errors import DataError


def files(root: str) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Every file that is not hidden, with its split and class ("" in none), and why some folders cannot be read.

    As `folder.read` finds them: a class's folder may be a link; links to folders below it are not followed.
    """
    found: dict[str, tuple[str, str]] = {}
    closed = []
    for split, path in [("train", root), *_splits(root)]:
        found |= {places.join(path, file): (split, "") for file in next(places.walk(path))[2]}
    for split, path in _splits(root):
        for label in places.subfolders(path):
            try:
                for parent, _, names in places.walk(places.join(path, label)):
                    found |= {places.join(parent, file): (split, label) for file in names}
            except DataError as error:
                closed.append(str(error))
    return found, closed


def blocking(root: str, counts: pd.DataFrame, closed: Sequence[str]) -> Iterator[Finding]:
    """One finding for each reason why nothing can be trained on a folder.

    Args:
        counts: readable images, classes down, splits across.
        closed: why folders in it cannot be read.
    """
    why = list(closed)
    try:
        class_names, _ = folder.read(root)
        if len(class_names) < 2:
            why.append(f"there is one class, {class_names[0]}; a classifier needs at least two")
    except DataError as error:
        why += [] if str(error) in why else [str(error)]
    classes = {split: places.subfolders(path) for split, path in _splits(root)}
    for split, names in classes.items():
        readable = [name for name in names if split in counts and counts[split].get(name, 0)]
        empty = [name for name in names if name not in readable]
        strange = [name for name in names if name not in classes.get("train", names)]
        if split == "train" and empty:
            why.append(f"no training image of {', '.join(empty)} can be read; add some, or remove the class")
        if strange:
            why.append(f"{split} has {', '.join(strange)}, which train does not have")
        if split != "train" and not readable:
            why.append(f"no {split} image can be read; repair some, or remove the folder")
    yield from (Finding("error", "not trainable", one) for one in why)


def _splits(root: str) -> list[tuple[str, str]]:
    """The splits' folders: those in the root, or the root itself."""
    names = places.subfolders(root)
    if not folder.has_splits(names):
        return [("train", root)]
    return [(folder.SPLIT_NAMES[name.lower()], places.join(root, name)) for name in names]

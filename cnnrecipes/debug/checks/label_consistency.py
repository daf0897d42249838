"""Checks of labels without looking at pixels: class sizes, class folders, and copies with several labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

from cnnrecipes._support.console import printable
from cnnrecipes.data.sources.random_access_dataset import Source
from cnnrecipes.debug.checks.check import CANNOT_TELL, FAIL, OK, WARNING, Check
from cnnrecipes.errors import counted

_MOST = 0.95  # share of one class that is a warning


def check_class_sizes(labels: np.ndarray, class_names: Sequence[str]) -> Check:
    """Check that the training images are not almost all of one class; labels (N,) are class numbers."""
    name, counts = "class sizes", np.bincount(labels, minlength=len(class_names))
    largest = int(counts.argmax())
    share = counts[largest] / len(labels)
    what = f"{share:.0%} of {len(labels):,} images are of the class {printable(class_names[largest])!r}"
    if share == 1:
        return Check(name, FAIL, what, "the labels are constant: check how they are read")
    if share > _MOST:
        return Check(name, WARNING, what, 'check the labels; else set data.balance = "sampling"')
    return Check(name, OK, f"{counts.min():,} to {counts.max():,} images of {len(counts)} classes")


def check_folder_labels(source: Source) -> Check:
    """Check that the label of each file is the class folder in its path, in every split.

    Folders that all files share say nothing about their labels, such as that of a user who is named as a class.
    """
    name, seen = "labels agree with folders", 0
    if all(split.files() is None for split in source.splits.values()):
        return Check(name, CANNOT_TELL, "the images are not files in class folders")
    above = _common_folders([file for split in source.splits.values() for file in split.files() or ()])
    known = {_plain(one): number for number, one in enumerate(source.class_names)}
    wrong: list[str] = []
    for split in source.splits.values():
        for file, label in zip(split.files() or (), split.labels.tolist(), strict=False):
            folders = [known[part] for part in map(_plain, PurePath(file).parts[above:-1]) if part in known]
            seen += bool(folders)
            if folders and label not in folders:
                wrong.append(f"{file!r} is labeled {source.class_names[label]!r}")
    if not seen:
        return Check(name, CANNOT_TELL, "no folder is named as a class")
    if wrong:
        what = f"{len(wrong):,} of {counted(seen, 'file')} have another label: {printable(wrong[0])}"
        return Check(name, FAIL, what, "check the table of labels, or the order of the class names")
    return Check(name, OK, f"all {counted(seen, 'file')}")


def check_copies(images: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> Check:
    """Check that no two equal images have different labels: no model can learn both.

    Args:
        images: (N, H, W, C) uint8.
        labels: (N,) class numbers.
    """
    name = "copies"
    classes: dict[bytes, set[int]] = {}
    sizes: Counter[bytes] = Counter()
    for image, label in zip(images, labels.tolist(), strict=True):
        classes.setdefault(image.tobytes(), set()).add(label)
        sizes[image.tobytes()] += 1
    torn = [key for key, found in classes.items() if len(found) > 1]
    if torn:
        names = " and ".join(repr(printable(class_names[label])) for label in sorted(classes[torn[0]])[:2])
        what = f"{sum(sizes[key] for key in torn)} of {len(images)} images are copies with different labels, as {names}"
        return Check(name, FAIL, what, "run cnnrecipes check-data, and remove them")
    return Check(name, OK, f"no equal images with different labels among {len(images)}")


def _common_folders(files: Sequence[str]) -> int:
    """Return the number of folders, from the root on, that all files are in."""
    if not files:
        return 0
    folders = [PurePath(file).parts[:-1] for file in files]
    # All paths lie between the least and the greatest, so that these two differ first where any two do.
    pairs = zip(min(folders), max(folders), strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), len(min(folders, key=len)))


def _plain(text: str) -> str:
    """Return a name in lower case without signs, as folder and class names may differ in them."""
    return re.sub(r"[^0-9a-z]+", "", text.lower()) or text

"""Unreadable files: found and excluded before the splits are made.

The order matters: a validation split made first could take the only readable image of a class.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from cnnrecipes._support.console import silent
from cnnrecipes._support.progress import watch
from cnnrecipes.data.audit.file_info import FileInfo, inspect_files, inspect_images
from cnnrecipes.data.images.image_store import ArrayImages, EncodedImages
from cnnrecipes.data.sources.class_problems import class_problems
from cnnrecipes.data.sources.opening import open_for_evaluation, open_own_splits
from cnnrecipes.data.sources.random_access_dataset import Source, Split
from cnnrecipes.data.sources.split_off import split_off
from cnnrecipes.errors import CNNRecipesWarning, DataError, counted
from cnnrecipes.recipe import schema

Inspections = Mapping[str, Sequence[FileInfo]]  # split -> inspection results of its images, in order


def inspect_source(source: Source, *, progress: bool = False, files_only: bool = False) -> Inspections:
    """Return the inspection results of all images by split; with `files_only`, images in memory are not inspected."""
    inspected = {}
    for name, split in source.splits.items():
        found: Iterable[FileInfo]
        if (files := split.files()) is not None:
            found = inspect_files(files)
        elif files_only:
            found = ()
        else:
            found = inspect_images([f"{name}[{i}]" for i in range(len(split))], partial(_content, split))
        inspected[name] = tuple(
            watch(found, f"inspecting {len(split):,} {name} images", len(split), progress and found != ())
        )
    return inspected


def _content(split: Split, index: int) -> np.ndarray | bytes:
    return split.read(index)[0]


def open_readable(
    data: Any, spec: schema.Data, say: Callable[[str], None] = silent, *, progress: bool = False
) -> tuple[Source, dict[str, str]]:
    """Open a source as `open_source` does, without unreadable files.

    Returns:
        the source, and a dict from each unreadable file to the reason.

    Raises:
        DataError: as `open_source`; or too few readable images are left to train on, or none of another split.
    """
    source, problems = open_own_splits(data, spec, say, progress=progress)
    if problems:
        raise DataError.of(problems)
    inspected = inspect_source(source, progress=progress, files_only=True)
    left, problems = without_unreadable(source, inspected)
    if not problems:
        left, problems = split_off(left, spec)
    if problems:
        raise DataError.of(problems)
    return left, unreadable(inspected)


def open_readable_for_evaluation(data: Any, class_names: Sequence[str], say: Callable[[str], None] = silent) -> Source:
    """Open a source as `open_for_evaluation` does, without unreadable files, which `Split.left_out` lists.

    Raises:
        DataError: as `open_for_evaluation`; or no file of a split can be read.
    """
    source = open_for_evaluation(data, class_names, say)
    inspected = inspect_source(source, files_only=True)
    if problems := _emptied(source, inspected):
        raise DataError.of(problems)
    return _left(source, inspected)


def warn_unreadable(left_out: Mapping[str, str], readable: int) -> None:
    """Issue a warning if files were left out as unreadable; `readable` is the number of the other files."""
    if left_out:
        first, why = next(iter(left_out.items()))
        total = len(left_out) + readable
        message = f"{len(left_out):,} of {total:,} files cannot be read and are left out, for example {first!r}: {why}"
        warnings.warn(message, CNNRecipesWarning, stacklevel=3)


def unreadable(inspected: Inspections) -> dict[str, str]:
    """Return a dict from each unreadable file to the reason, taken from inspection results."""
    return {one.path: one.error for found in inspected.values() for one in found if one.error}


def without_unreadable(source: Source, inspected: Inspections) -> tuple[Source, list[str]]:
    """Return a source without the files that `inspected` reports as unreadable, and the problems for training on it."""
    left, problems = _left(source, inspected), _emptied(source, inspected, but="train")
    if "train" in left.splits and len(left.split("train")) < len(source.split("train")):
        bad = [one for one in inspected["train"] if one.error]
        why = f"{counted(len(bad), 'file')} cannot be read, for example {bad[0].path!r}: {bad[0].error}"
        problems += [f"{problem} ({why})" for problem in class_problems(left)]
    problems += _contradictions(source, inspected) if source.splits else []
    return left, problems


def _left(source: Source, inspected: Inspections) -> Source:
    """Return a copy of the source without the files with an error in `inspected`; `Split.left_out` lists them."""
    splits = {}
    for name, split in source.splits.items():
        kept = np.asarray([not one.error for one in inspected[name]], bool)
        if _are_files(split) and not kept.all():
            groups = None if split.groups is None else split.groups[kept]
            bad = {one.path: one.error for one in inspected[name] if one.error}
            split = Split(name, split.images, split.labels[kept], split.positions[kept], groups, bad)
        splits[name] = split
    return replace(source, splits=splits)


def _emptied(source: Source, inspected: Inspections, but: str = "") -> list[str]:
    """Return a message for each split, except for the split `but`, of which no file can be read."""
    return [
        f"none of the {len(split)} {name} images can be read, for example {inspected[name][0].path!r}: "
        f"{inspected[name][0].error}"
        for name, split in source.splits.items()
        if name != but and _are_files(split) and all(one.error for one in inspected[name])
    ]


def _are_files(split: Split) -> bool:
    return not isinstance(split.images, ArrayImages) and split.images.are_files


def _contradictions(source: Source, inspected: Inspections) -> list[str]:
    """Return a message if every image has a copy in another class, so that no class can be learned."""
    if not all(inspected.values()):  # images in memory are inspected only if the first one has such a copy
        if not all(_in_memory(split) for split in source.splits.values()) or not _has_contradicting_copy(source):
            return []
        inspected = inspect_source(source)
    images = [
        (one.path if _are_files(split) else f"image {position}", source.class_names[label], one.digest)
        for name, split in source.splits.items()
        for one, label, position in zip(inspected[name], split.labels.tolist(), split.positions.tolist(), strict=True)
        if not one.error
    ]
    classes = defaultdict(set)
    for _, label, digest in images:
        classes[digest].add(label)
    if not images or any(len(labels) == 1 for labels in classes.values()):
        return []
    first, label, digest = min(images)
    other, other_label, _ = min(image for image in images if image[2] == digest and image[1] != label)
    return [
        f"every image has a copy in another class, for example {first!r} ({label}) and {other!r} ({other_label}); "
        "remove those in the wrong class"
    ]


def _in_memory(split: Split) -> bool:
    return isinstance(split.images, (ArrayImages, EncodedImages)) and not _are_files(split)


def _has_contradicting_copy(source: Source) -> bool:
    """Return True if the first training image has a copy in another class."""
    first, label = source.split("train").read(0)
    return any(
        np.array_equal(first, split.read(i)[0])
        for split in source.splits.values()
        for i in np.flatnonzero(split.labels != label).tolist()
    )

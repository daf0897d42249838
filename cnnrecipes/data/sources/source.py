"""Sources: random access to examples, their class names and splits, from arrays, a folder, TFDS or the digits.

Images are held once: uint8 arrays as they were given, encoded files as paths (or bytes, from TFDS). A split is a
list of positions into them.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnnrecipes._support import remote_files
from cnnrecipes._support.atomic_files import is_utf8
from cnnrecipes._support.console import silent
from cnnrecipes.data import split
from cnnrecipes.data.audit.file_info import facts
from cnnrecipes.data.images.handles import Handles
from cnnrecipes.data.images.image_store import ArrayImages, EncodedImages, Pool
from cnnrecipes.data.sources import archives, arrays, folder, tables, tfds
from cnnrecipes.data.sources.folder_layout import Contents, Kind, Layout
from cnnrecipes.errors import DataError, did_you_mean, listed
from cnnrecipes.recipe import schema

SPLITS = ("train", "validation", "test")
GIVEN = "data"  # what the images are called that are given without splits, to be measured


@dataclass(frozen=True)
class Split:
    """Some examples of a source: `positions` into its images and labels."""

    name: str
    images: ArrayImages | EncodedImages
    labels: np.ndarray  # (N,) int32, one for each position
    positions: np.ndarray  # (N,) int64, into images
    groups: np.ndarray | None = None  # (N,) numbers of what belongs together
    left_out: Mapping[str, str] = field(default_factory=dict)  # files of it that cannot be read -> why
    # What readers have decoded and keep, for every pipeline of this split.
    kept: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    # Of the data sets made of this split that are still there.
    handles: weakref.WeakSet[Handles] = field(default_factory=weakref.WeakSet, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.positions)

    def read(self, index: int) -> tuple[np.ndarray | bytes, int]:
        """Example `index` of this split: a uint8 (H, W, C) array or encoded bytes, and its label."""
        return self.images.read(int(self.positions[index])), int(self.labels[index])

    def close(self) -> None:
        """Close every data set made of this split, and release what was decoded; new ones can be made."""
        for handles in list(self.handles):
            handles.close()
        while self.kept:
            self.kept.popitem()[1].close()


@dataclass(frozen=True)
class Source:
    """A data set: its name, its class names in label order, and its splits by name ("train", "validation", "test").

    As a context manager it closes its splits at the end: pipelines made of them release images, decoded caches, files.
    """

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Split]
    layout: Layout = field(default_factory=Layout)

    def split(self, name: str) -> Split:
        """One split. Raises DataError naming those there are."""
        if name not in self.splits:
            raise DataError(f"{self.name} has no {name} split; it has {', '.join(self.splits)}")
        return self.splits[name]

    def close(self) -> None:
        """Close every split; see `Split.close`."""
        for part in self.splits.values():
            part.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def check_class_names(self, expected: Sequence[str]) -> None:
        """Raises DataError unless the classes are the expected ones, in the same order."""
        if self.class_names != tuple(expected):
            raise DataError(f"{self.name} has classes {_listed(self.class_names)}; the model knows {_listed(expected)}")


def open_source(data: Any, spec: schema.Data, say: Callable[[str], None] = silent, *, progress: bool = False) -> Source:
    """Open what the user has, with a validation split, and a test split where the recipe asks for one.

    Args:
        data: None (what `spec.name` says), a name or path (of a folder, of an archive of one, or of a table), a
            DataFrame of paths and labels, `(images, labels)`, a `tf.data.Dataset` of (image, label), or a mapping of
            split to such with an optional "class_names".
        spec: the recipe's `data` table.
        say: told in a line of what was converted.
        progress: show the progress of a download and of unpacking.

    Raises:
        DataError: it cannot be read, or images and labels do not fit; the message says what to do.
    """
    source, problems = survey(data, spec, say, progress=progress)
    if problems:
        raise DataError.of(problems)
    return source


def survey(
    data: Any, spec: schema.Data, say: Callable[[str], None] = silent, *, progress: bool = False
) -> tuple[Source, list[str]]:
    """`open_source`, with everything for which it cannot be trained on instead of an error about it.

    Raises:
        DataError: there is no such data set, or it is not of a form that is known.
    """
    source, problems = given(data, spec, say, progress=progress)
    return (source, problems) if problems else deal(source, spec)


def given(
    data: Any, spec: schema.Data, say: Callable[[str], None] = silent, *, progress: bool = False
) -> tuple[Source, list[str]]:
    """`survey` with the splits that the data has itself, nothing split off."""
    name, contents = _open(spec.name if data is None else data, say, layout=spec.layout, progress=progress)
    splits, problems = {}, list(contents.problems)
    for part, pool in contents.pools.items():
        everything = np.arange(len(pool.labels), dtype=np.int64)
        splits[part] = Split(part, pool.images, pool.labels, everything, pool.groups)
    source = Source(name, contents.class_names, splits, contents.layout)
    return source, problems or class_problems(source)


def deal(source: Source, spec: schema.Data) -> tuple[Source, list[str]]:
    """A source with the splits that the recipe asks for taken from its training images, and what is then wrong.

    Raises:
        DataError: there are too few images or groups for the splits.
    """
    splits, whole = dict(source.splits), source.split("train")
    for part, some in _dealt(whole, set(splits), spec).items():
        groups = None if whole.groups is None else whole.groups[some]
        splits[part] = Split(part, whole.images, whole.labels[some], whole.positions[some], groups)
    divided = replace(source, splits={s: splits[s] for s in SPLITS if s in splits and len(splits[s])})
    return divided, class_problems(divided)


def open_given(data: Any, class_names: Sequence[str], say: Callable[[str], None] = silent) -> Source:
    """Open what a model is to be measured on: all of it, in the splits that it has itself, nothing split off.

    Args:
        data: as for `open_source`, but None; some of the classes are enough.
        class_names: the model's; labels become its numbers, by name where the data has names.

    Returns:
        a source of the model's classes; what has no splits of its own is one, "data".

    Raises:
        DataError: it cannot be read, or has images of a class that the model does not know.
    """
    if isinstance(data, (str, Path, pd.DataFrame)):
        name, contents = _open(data, say, training=False)
        if contents.problems:
            raise DataError.of(contents.problems)
        names = contents.class_names
        pools = {split: _renumbered(name, pool, names, class_names) for split, pool in contents.pools.items()}
    else:
        name, (_, pools) = "arrays", arrays.read(data, say=say, known=class_names)
    if set(pools) == {"train"}:
        pools = {GIVEN: pools["train"]}
    splits = {
        split: Split(split, pool.images, pool.labels, np.arange(len(pool.labels), dtype=np.int64), pool.groups)
        for split, pool in sorted(pools.items(), key=lambda item: (*SPLITS, GIVEN).index(item[0]))
        if len(pool.labels)
    }
    if not splits:
        raise DataError(f"{name} has no images; give some of the classes {_listed(class_names)}")
    return Source(name, tuple(class_names), splits)


def _renumbered(name: str, pool: Pool, names: Sequence[str], known: Sequence[str]) -> Pool:
    """The pool with the labels of the model that knows these classes. Raises DataError naming one that it does not."""
    numbers = np.asarray([known.index(one) if one in known else -1 for one in names], np.int32)[pool.labels]
    if (numbers < 0).any():
        unknown = names[int(pool.labels[np.argmax(numbers < 0)])]
        raise DataError(
            f"{name} has images of the class {unknown!r}, which the model does not know: it knows {_listed(known)}; "
            "leave them out, or name the class as the model does"
        )
    return Pool(pool.images, numbers, pool.groups)


def recipe_name(data: Any) -> str:
    """Return the `data.name` that a recipe records for the argument `data`."""
    if not isinstance(data, (str, Path)):
        return "arrays"
    text = str(data)
    is_file = tables.is_table(text) or archives.is_archive(text)
    here = (folder.is_path(text) or is_file) and not remote_files.is_remote(text)
    return str(Path(data).expanduser().absolute()) if here else str(data)


def unrecordable(data: Any) -> list[str]:
    """Return the problems of a data path that a recipe cannot record because it is not UTF-8."""
    name = recipe_name(data)
    return [] if is_utf8(name) else [f"the path {name!r} is not UTF-8; rename it, or give a link to it of another name"]


def local_path(data: str | Path) -> str:
    """A path with the home folder filled in; a URL as it is."""
    return str(data) if remote_files.is_remote(data) else str(Path(data).expanduser())


def _dealt(pool: Split, given: set[str], spec: schema.Data) -> dict[str, np.ndarray]:
    """Positions of the splits that are taken from the training images; none where nothing is to be taken."""
    shares = {s: share for s, share in (("test", spec.test), ("validation", spec.validation)) if s not in given}
    contents = _contents(pool) if spec.split == "content" and (spec.folds or any(shares.values())) else None
    if spec.folds:
        if "validation" in given:
            raise DataError(f"data.folds = {spec.folds}, but the data has a validation split; leave one of them out")
        # The test split is the same for every fold.
        shares.pop("validation")
        parts = _in_shares(pool, contents, shares, spec) if any(shares.values()) else {}
        rest = parts.pop("train", np.arange(len(pool.labels)))
        return parts | {name: rest[some] for name, some in _fold(pool, contents, rest, spec).items()}
    return _in_shares(pool, contents, shares, spec) if any(shares.values()) else {}


def _in_shares(
    pool: Split, contents: list[str] | None, shares: Mapping[str, float], spec: schema.Data
) -> dict[str, np.ndarray]:
    """The splits in shares, with what is left as "train"."""
    if contents is not None:
        return split.by_content(contents, shares, spec.split_seed, pool.labels)
    if pool.groups is not None:
        return split.grouped(pool.labels, pool.groups, shares, spec.split_seed)
    return split.stratified(pool.labels, shares, spec.split_seed)


def _fold(pool: Split, contents: list[str] | None, rest: np.ndarray, spec: schema.Data) -> dict[str, np.ndarray]:
    """The fold, of what is not for the test: positions into `rest`. Raises DataError where there are too many folds."""
    labels, groups = pool.labels[rest], None if pool.groups is None else pool.groups[rest]
    counts = np.bincount(labels)
    if counts[counts > 0].min() < spec.folds:
        raise DataError(f"data.folds = {spec.folds}, and a class has {counts[counts > 0].min()} images; take fewer")
    if groups is not None and len(np.unique(groups)) < spec.folds:
        raise DataError(f"data.folds = {spec.folds}, and there are {len(np.unique(groups))} groups; take fewer")
    if contents is not None:
        return split.fold_by_content([contents[place] for place in rest], spec.folds, spec.fold, spec.split_seed)
    return split.fold(labels, groups, spec.folds, spec.fold, spec.split_seed)


def _contents(pool: Split) -> list[str]:
    """A text for each example that stands for its content, or, where groups are known, for its group."""
    if pool.groups is not None:
        return [str(group) for group in pool.groups]
    if isinstance(pool.images, EncodedImages) and pool.images.are_files:
        return [one.digest or one.path for one in facts([pool.images.items[place] for place in pool.positions])]
    contents = (pool.images.read(int(place)) for place in pool.positions)
    # As bytes: an array may be a view, turned or cut.
    texts = (one if isinstance(one, bytes) else one.tobytes() for one in contents)
    return [hashlib.blake2b(text, digest_size=16).hexdigest() for text in texts]


def _open(
    data: Any,
    say: Callable[[str], None],
    *,
    training: bool = True,
    layout: Kind = "auto",
    progress: bool = False,
) -> tuple[str, Contents]:
    """Its name and contents; `training`: whether there must be a split to train on, with every class."""
    if isinstance(data, pd.DataFrame):
        return "arrays", tables.read(data, training)
    if not isinstance(data, (str, Path)):
        return "arrays", Contents(*arrays.read(data, say=say))
    text = str(data)
    if text == "digits":
        return "digits", Contents(*arrays.read(arrays.digits()))
    if text == "arrays":
        raise DataError("this recipe was run on arrays, which are not kept; give them again as data=(images, labels)")
    if tables.is_table(text):
        return text, tables.read(local_path(text), training)
    if archives.is_archive(text):
        unpacked = archives.unpacked(local_path(text), progress=progress)
        return text, folder.read(unpacked, layout, training).named(unpacked, text)
    if isinstance(data, Path) or folder.is_path(text):
        return text, folder.read(local_path(text), layout, training)
    return text, Contents(*tfds.read(text.removeprefix("tfds:")))


def class_problems(source: Source) -> list[str]:
    """Return the problems that prevent training: fewer than two classes, or a class without a training image."""
    if len(source.class_names) < 2:
        left_out = "".join(
            f"; {finding.message}" for finding in source.layout.left_out if finding.severity == "warning"
        )
        return [f"{source.name} has {_listed(source.class_names)}; a classifier needs at least two classes{left_out}"]
    counts = np.bincount(source.split("train").labels, minlength=len(source.class_names))
    empty = [name for name, count in zip(source.class_names, counts, strict=True) if count == 0]
    if not empty:
        return []
    held = [
        f"{name} has {count} of {source.class_names[label]!r}"
        for name, part in source.splits.items()
        for label, count in enumerate(np.bincount(part.labels, minlength=len(source.class_names)))
        if name != "train" and count and source.class_names[label] in set(empty)
    ]
    full = [name for name in source.class_names if name not in set(empty)]
    meant = did_you_mean(empty[0], full) if len(empty) == 1 else ""
    dealt = f" ({listed(held)}; another data.split, data.folds, data.fold or other groups may help)" if held else ""
    return [
        f"{source.name}: no training image of class {_listed(empty)}{meant}{dealt}; add images, or remove the class "
        "everywhere"
    ]


def unmeasured(source: Source) -> list[str]:
    """A line for each held-out split that lacks classes, with their names: its figures say nothing of those."""
    lines = []
    for name, part in source.splits.items():
        counts = np.bincount(part.labels, minlength=len(source.class_names))
        lacking = [label for label, count in zip(source.class_names, counts, strict=True) if not count]
        if lacking and name != "train":
            named = _listed(lacking)
            of = f"{len(lacking)} of {len(counts)} classes"
            lines.append(
                f"the {name} split ({len(part)} images) has none of {of}: {named}; its figures do not measure them. "
                "A class needs 2 images for train and validation, 3 with a test split; groups and copies stay together"
            )
    return lines


def _listed(names: Sequence[str]) -> str:
    return listed(map(repr, names)) if names else "no class"

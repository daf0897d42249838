"""Checks of a data set: unreadable and odd files, duplicates, leakage between splits, class sizes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

import pandas as pd

from cnnrecipes._support.user_cache import storable
from cnnrecipes.data.audit import duplicates
from cnnrecipes.data.audit.file_info import FileInfo
from cnnrecipes.data.images.decode import HEIC
from cnnrecipes.errors import counted, listed

Place = tuple[str, str]  # split and class of an image

TINY = 32  # short side in pixels below which an image is tiny
UNEVEN = 10  # ratio of the largest to the smallest class above which classes are uneven
_ENDINGS = {
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "tiff": (".tif", ".tiff"),
    "jpeg2000": (".jp2", ".j2k"),
    "pnm": (".ppm", ".pgm", ".pbm", ".pnm"),
    "heic": HEIC,
}


_TROUBLES = {
    "labels": ("error", "in different classes", ": all but one of the labels are wrong"),
    "splits": ("error", "across splits", ": metrics on these splits are measured on training images"),
    "none": ("note", "in one class", ""),
}


class Member(NamedTuple):
    """A file of a group of files, with the file's split and class."""

    file: str
    split: str
    label: str


@dataclass(frozen=True)
class DataFinding:
    """One finding of a data set check.

    Attributes:
        severity: "error": files are left out, or metrics would be misleading; "warning": should be inspected; "note":
            for information.
        kind: short name of the finding, for example "near copies in one class".
        message: one sentence about the files.
        files: paths of the files.
        groups: the same files, grouped, for example copies of one image.
    """

    severity: str
    kind: str
    message: str
    files: tuple[str, ...] = ()
    groups: tuple[tuple[Member, ...], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as a dict of JSON types, as in report.json."""
        groups = [[{"file": one.file, "split": one.split, "class": one.label} for one in some] for some in self.groups]
        return {**vars(self), "groups": groups}


def odd_files(found: Sequence[FileInfo]) -> Iterator[DataFinding]:
    """Find unreadable files, wrong extensions, tiny and one-color images, rare color modes, rotated images."""
    whole = [one for one in found if not one.error]
    modes = Counter(one.mode for one in whole if one.mode)
    usual = modes.most_common(1)[0][0] if modes else ""
    small = median(min(one.width, one.height) for one in whole) < 2 * TINY if whole else True
    yield from _finding(found, "error", "unreadable", "unreadable, will be left out", lambda one: one.error)
    yield from _finding(whole, "warning", "wrong extension", "whose format differs from the extension", _misnamed)
    if not small:
        tiny = f"with a side below {TINY} pixels, unlike most images"
        yield from _finding(whole, "warning", "tiny", tiny, lambda one: min(one.width, one.height) < TINY)
    for kind in _rare(one.kind for one in whole):
        stranger = f"the only {kind}; often a stray file, for example a logo or a placeholder"
        yield from _finding(whole, "warning", f"rare kind {kind}", stranger, lambda one, kind=kind: one.kind == kind)
    yield from _finding(whole, "warning", "one color", "of a single color", lambda one: one.flat)
    for mode in sorted(set(modes) - {usual}):
        converted = f"stored as {mode}, most as {usual}; converted when read"
        yield from _finding(whole, "note", f"mode {mode}", converted, lambda one, mode=mode: one.mode == mode)
    upright = "stored rotated or mirrored; their EXIF orientation is applied when they are read"
    yield from _finding(whole, "note", "turned", upright, lambda one: one.orientation != 1)


def _rare(kinds: Iterable[str]) -> list[str]:
    """Return the values that occur exactly once among at least 100 values."""
    counts = Counter(kinds)
    return sorted(kind for kind, n in counts.items() if n == 1 and counts.total() >= 100)


def _finding(
    found: Sequence[FileInfo], severity: str, kind: str, what: str, applies: Callable
) -> Iterator[DataFinding]:
    """Yield a finding about the files for which `applies` is true, if there are any."""
    files = tuple(one.path for one in found if applies(one))
    if files:
        yield DataFinding(severity, kind, f"{counted(len(files), 'image')}: {what}", files)


def _misnamed(one: FileInfo) -> bool:
    return one.kind != "array" and not one.path.lower().endswith(_ENDINGS.get(one.kind, (f".{one.kind}",)))


def repeated(found: Sequence[FileInfo], located: Sequence[Place]) -> Iterator[DataFinding]:
    """Find exact and near duplicates: in different classes, across splits, or within one class."""
    exact = duplicates.same([one.digest for one in found])
    first = {place: group[0] for group in exact for place in group}
    alike = duplicates.near([one.looks for one in found])
    near = [group for group in alike if len({first.get(place, place) for place in group}) > 1]
    for kind, groups in (("copies", exact), ("near copies", near)):
        by_trouble = defaultdict(list)
        for group in groups:
            splits, labels = (set(names) for names in zip(*(located[i] for i in group), strict=True))
            by_trouble["labels" if len(labels) > 1 else "splits" if len(splits) > 1 else "none"].append(group)
        for trouble, some in by_trouble.items():
            severity, where, why = _TROUBLES[trouble]
            severity = "warning" if (kind, trouble) == ("near copies", "splits") else severity
            message = f"{counted(len(some), 'group')} of {kind} {where}{why}"
            yield _grouped(severity, f"{kind} {where}", message, some, found, located)


def leaks(found: Sequence[FileInfo], located: Sequence[Place], groups: Sequence[Any]) -> Iterator[DataFinding]:
    """Find groups with files in more than one split.

    Args:
        found: the files.
        located: split and class of each file.
        groups: group of each file; None for a file without a group.
    """
    members = defaultdict(list)
    for i, group in enumerate(groups):
        if group is not None:
            members[group].append(i)
    leaking = {group: some for group, some in members.items() if len({located[i][0] for i in some}) > 1}
    if leaking:
        message = (
            f"{counted(len(leaking), 'group')} in two splits, for example {listed(leaking, 3)}: metrics on "
            "these splits are measured on images of groups seen in training"
        )
        yield _grouped("error", "leaking groups", message, leaking.values(), found, located)


def _grouped(
    severity: str,
    kind: str,
    message: str,
    groups: Iterable[Sequence[int]],
    found: Sequence[FileInfo],
    located: Sequence[Place],
) -> DataFinding:
    """Return a finding about groups of files, which are given as positions in `found`."""
    members = tuple(tuple(Member(found[i].path, *located[i]) for i in group) for group in groups)
    return DataFinding(severity, kind, message, tuple(one.file for group in members for one in group), members)


def count(images: Mapping[Place, int]) -> pd.DataFrame:
    """Count the images per class (rows) and split (columns); names that are not UTF-8 are escaped."""
    # pandas stores text in Arrow, which allows only UTF-8.
    rows = [{"split": split, "class": storable(label), "n": n} for (split, label), n in images.items()]
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows).pivot_table(index="class", columns="split", values="n", fill_value=0, aggfunc="sum")
    return table.astype(int)[[split for split in ("train", "validation", "test") if split in table]]


def uneven_classes(counts: pd.DataFrame) -> Iterator[DataFinding]:
    """Find classes without images in a split (of the data, or yet to be split off), and very uneven class sizes."""
    if "train" not in counts:
        return
    train = counts["train"]
    few = [f"{name!r} ({n})" for name, n in train[(train > 0) & (train < 3)].items()]
    if few and not {"validation", "test"} <= set(counts.columns):
        message = (
            f"few images of {', '.join(few)}: a class needs 2 for train and validation, 3 with a test split; splits "
            "taken from the training images do not measure classes with fewer"
        )
        yield DataFinding("warning", "few images", message)
    for split in counts.columns.drop("train"):
        missing = [str(name) for name in counts.index[(counts[split] == 0) & (train > 0)]]
        if missing:
            yield DataFinding("warning", "class missing", f"{split} has no image of {listed(missing)}")
    some = train[train > 0]
    ratio = some.max() / some.min()
    if ratio > UNEVEN:
        message = f"{some.idxmax()!r} has {ratio:.0f} times as many images as {some.idxmin()!r}; see data.balance"
        yield DataFinding("warning", "uneven classes", message)

"""The single checks: each looks at one kind of trouble, and yields what it finds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import pandas as pd

from cnnrecipes.data import duplicates
from cnnrecipes.data.facts import FileFacts

Places = Mapping[str, tuple[str, str]]  # file -> its split and its class, "" where it lies in none

TINY = 32  # pixels of the short side
UNEVEN = 10  # times as many images in the largest class as in the smallest
_ENDINGS = {"jpeg": (".jpg", ".jpeg", ".jpe", ".jfif")}


_TROUBLES = {
    "labels": ("error", "in different classes", ": all but one of the labels are wrong"),
    "splits": ("error", "across splits", ": what is measured there was seen in training"),
    "none": ("note", "in one class", ""),
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. error: left out, or the numbers would mislead; warning: look; note: good to know."""

    severity: str
    kind: str
    message: str
    files: tuple[str, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()  # the same files, those together that belong together


def odd_files(found: Sequence[FileFacts]) -> Iterator[Finding]:
    """Unreadable files, wrong extensions, tiny images, images of one colour, rare modes, turned ones."""
    whole = [one for one in found if not one.error]
    modes = Counter(one.mode for one in whole if one.mode)
    usual = modes.most_common(1)[0][0] if modes else ""
    small = median(min(one.width, one.height) for one in whole) < 2 * TINY if whole else True
    yield from _those(found, "error", "unreadable", "unreadable, will be left out", lambda one: one.error)
    yield from _those(whole, "warning", "wrong extension", "of another kind than the name says", _misnamed)
    if not small:
        tiny = f"with a side below {TINY} pixels, unlike most"
        yield from _those(whole, "warning", "tiny", tiny, lambda one: min(one.width, one.height) < TINY)
    for kind in _rare(one.kind for one in whole):
        stranger = f"the only {kind}; often a stray file, as a page's own picture or a sign for one not found"
        yield from _those(whole, "warning", f"rare kind {kind}", stranger, lambda one, kind=kind: one.kind == kind)
    yield from _those(whole, "warning", "one colour", "nothing but one colour", lambda one: one.flat)
    for mode in sorted(set(modes) - {usual}):
        converted = f"stored as {mode}, most as {usual}; converted when read"
        yield from _those(whole, "note", f"mode {mode}", converted, lambda one, mode=mode: one.mode == mode)
    upright = "stored lying or mirrored; turned by their EXIF orientation when read"
    yield from _those(whole, "note", "turned", upright, lambda one: one.orientation != 1)


def _rare(kinds: Iterable[str]) -> list[str]:
    """Those of which there is one among a hundred or more."""
    counts = Counter(kinds)
    return sorted(kind for kind, n in counts.items() if n == 1 and counts.total() >= 100)


def _those(found: Sequence[FileFacts], severity: str, kind: str, what: str, applies: Callable) -> Iterator[Finding]:
    """A finding about the files to which something applies, if there are any."""
    files = tuple(one.path for one in found if applies(one))
    if files:
        yield Finding(severity, kind, f"{_counted(len(files), 'image')}: {what}", files)


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _misnamed(one: FileFacts) -> bool:
    return one.kind != "array" and not one.path.lower().endswith(_ENDINGS.get(one.kind, (f".{one.kind}",)))


def other_files(places: Places, images: Sequence[str]) -> Iterator[Finding]:
    """What is passed over: files that are no images by their name, and images outside the classes' folders."""
    known = set(images)
    others = tuple(file for file in places if file not in known)
    stray = tuple(file for file in images if not places[file][1])
    if others:
        message = f"{_counted(len(others), 'file')} without an image's extension; passed over"
        yield Finding("note", "other files", message, others)
    if stray:
        message = f"{_counted(len(stray), 'image')} in no class's folder; passed over"
        yield Finding("warning", "outside classes", message, stray)


def repeated(found: Sequence[FileFacts], places: Places) -> Iterator[Finding]:
    """Copies, exact and near: in different classes, in different splits, or only copies."""
    exact = duplicates.same([one.digest for one in found])
    first = {place: group[0] for group in exact for place in group}
    alike = duplicates.near([one.looks for one in found])
    near = [group for group in alike if len({first.get(place, place) for place in group}) > 1]
    for kind, groups in (("copies", exact), ("near copies", near)):
        by_trouble = defaultdict(list)
        for group in groups:
            splits, labels = (set(names) for names in zip(*(places[found[i].path] for i in group), strict=True))
            by_trouble["labels" if len(labels) > 1 else "splits" if len(splits) > 1 else "none"].append(group)
        for trouble, some in by_trouble.items():
            severity, where, why = _TROUBLES[trouble]
            severity = "warning" if (kind, trouble) == ("near copies", "splits") else severity
            files = tuple(tuple(found[i].path for i in group) for group in some)
            counted = f"{_counted(len(some), 'group')} of {kind} {where}{why}"
            yield Finding(severity, f"{kind} {where}", counted, tuple(file for one in files for file in one), files)


def leaks(found: Sequence[FileFacts], places: Places, group_of: Callable[[str], Any]) -> Iterator[Finding]:
    """Groups of which there are files in two splits."""
    members = defaultdict(list, {None: []})  # None: of no group
    for one in found:
        members[group_of(one.path)].append(one.path)
    del members[None]
    leaking = {group: tuple(some) for group, some in members.items() if len({places[file][0] for file in some}) > 1}
    if leaking:
        names = ", ".join(map(str, list(leaking)[:3]))
        files = tuple(file for some in leaking.values() for file in some)
        message = (
            f"{_counted(len(leaking), 'group')} in two splits, as {names}: what is measured there was seen in training"
        )
        yield Finding("error", "leaking groups", message, files, tuple(leaking.values()))


def count(places: Mapping[tuple[str, str], int]) -> pd.DataFrame:
    """How many images of each class (rows) are in each split (columns)."""
    rows = [{"split": split, "class": label, "n": n} for (split, label), n in places.items() if label]
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows).pivot_table(index="class", columns="split", values="n", fill_value=0, aggfunc="sum")
    return table.astype(int)[[split for split in ("train", "validation", "test") if split in table]]


def uneven_classes(counts: pd.DataFrame) -> Iterator[Finding]:
    """Classes that a split lacks, or will lack when one is taken from the training images; and very uneven ones."""
    if "train" not in counts:
        return
    train = counts["train"]
    few = [f"{name!r} ({n})" for name, n in train[(train > 0) & (train < 3)].items()]
    if few and not {"validation", "test"} <= set(counts.columns):
        message = (
            f"few images of {', '.join(few)}: a class needs 2 for train and validation, 3 with a test split; what is "
            "taken from the training images does not measure classes with fewer"
        )
        yield Finding("warning", "few images", message)
    for split in counts.columns.drop("train"):
        missing = [str(name) for name in counts.index[(counts[split] == 0) & (train > 0)]]
        if missing:
            yield Finding("warning", "class missing", f"{split} has no image of {', '.join(missing)}")
    largest, smallest = train.idxmax(), train[train > 0].idxmin()
    if train[largest] > UNEVEN * train[smallest]:
        ratio = train[largest] / train[smallest]
        message = f"{largest!r} has {ratio:.0f} times as many images as {smallest!r}; see data.balance"
        yield Finding("warning", "uneven classes", message)

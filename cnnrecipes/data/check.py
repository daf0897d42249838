"""What is wrong with a data set, before anything is trained on it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from cnnrecipes import recipe
from cnnrecipes.data import cache, findings
from cnnrecipes.data.facts import FileFacts, describe, facts
from cnnrecipes.data.findings import Finding
from cnnrecipes.data.layout import Kind
from cnnrecipes.data.sources import Source, Split, class_problems, survey
from cnnrecipes.data.store import ArrayImages, EncodedImages
from cnnrecipes.errors import DataError, UnknownNameError, counted
from cnnrecipes.files import make_folder, write_text
from cnnrecipes.waiting import watch

FILES = ("report.json", "quarantine.txt", "report.html")  # of a saved report


@dataclass(frozen=True)
class Report:
    """What `check_data` found. `trainable` says whether training may go on, with the unreadable files left out."""

    name: str
    trainable: bool
    counts: pd.DataFrame  # readable images: classes down, splits across
    findings: tuple[Finding, ...]  # errors first
    unreadable: Mapping[str, str]  # file -> why

    def to_json(self) -> str:
        """Everything, as a JSON document."""
        return json.dumps(
            {
                "name": self.name,
                "trainable": self.trainable,
                "counts": self.counts.to_dict(),
                "findings": [asdict(finding) for finding in self.findings],
                "unreadable": dict(self.unreadable),
            },
            indent=2,
        )

    def save(self, output: str | Path) -> list[Path]:
        """Write report.json, quarantine.txt and report.html with pictures into a folder; returns their paths.

        Raises:
            DataError: the folder lies in the data set.
            WriteError: the folder cannot be made or written to.
        """
        from cnnrecipes.data.check_page import page

        output = Path(output)
        root = Path(self.name).expanduser()
        if root.is_dir() and output.resolve().is_relative_to(root.resolve()):
            raise DataError(
                f"{str(output)!r} lies in the data set itself, which is not written to; give another folder"
            )
        make_folder(output)
        texts = (self.to_json(), quarantine(self.unreadable), cache.storable(page(self)))
        for name, text in zip(FILES, texts, strict=True):
            write_text(output / name, text)
        return [output / name for name in FILES]


def check_data(
    data: Any,
    *,
    groups: Callable[[str], Any] | Mapping[str, Any] | None = None,
    layout: Kind = "auto",
    progress: bool = True,
) -> Report:
    """Look into every image of a data set: what cannot be read, is odd, occurs twice, or lies in the wrong place.

    Whether training may go on is what `fit` itself finds out: both call the same functions.

    Args:
        data: a folder with one sub-folder a class, or with train, val and test of such; or what `fit` takes besides.
        groups: file -> what it belongs with (a patient, a scene), which should not be in two splits; of a table, its
            column of groups.
        layout: "splits" or "classes" says what the sub-folders of a folder are; as `data.layout` of a recipe.
        progress: show progress.

    Raises:
        DataError: there is no such data set.
        UnknownNameError: an unknown layout.
    """
    if layout not in get_args(Kind):
        raise UnknownNameError("layout", layout, get_args(Kind))
    spec = recipe.Data(name="arrays", validation=0.0, image_size=32, layout=layout)
    source, problems = survey(data, spec, progress=progress)
    looks = look_into(source, progress=progress)
    _, more = without_unreadable(source, looks)
    found = [one for some in looks.values() for one in some]
    names = [cache.storable(name) for name in source.class_names]  # a DataFrame holds nothing but UTF-8
    located = [(name, names[label]) for name, split in source.splits.items() for label in split.labels.tolist()]
    whole = [i for i, one in enumerate(found) if not one.error]
    counts = findings.count(Counter(located[i] for i in whole))
    groups = groups.get if isinstance(groups, Mapping) else groups
    belongs = [groups(one.path) for one in found] if groups else _groups(source)
    trouble = [
        *(Finding("error", "not trainable", problem) for problem in [*problems, *more]),
        *source.layout.left_out,
        *findings.odd_files(found),
        *findings.repeated([found[i] for i in whole], [located[i] for i in whole]),
        *findings.uneven_classes(counts),
        *findings.leaks(found, located, belongs),
    ]
    name = "arrays" if source.name == "arrays" else str(data)
    return _report(name, counts, trouble, {one.path: one.error for one in found if one.error})


Looks = Mapping[str, Sequence[FileFacts]]  # split -> what each of its images is like, in their order


def look_into(source: Source, *, progress: bool = False, files_only: bool = False) -> Looks:
    """What each image of a source is like; of those in memory nothing where only files are wanted."""
    looks = {}
    for name, split in source.splits.items():
        if _are_files(split):
            files = [split.images.items[position] for position in split.positions]
            found = watch(facts(files), f"looking into {len(files):,} {name} images", len(files), progress)
        else:
            found = () if files_only else (describe(f"{name}[{i}]", split.read(i)[0]) for i in range(len(split)))
        looks[name] = tuple(found)
    return looks


def readable(source: Source, *, progress: bool = False) -> tuple[Source, dict[str, str]]:
    """A source without the files that cannot be read, and those, with the reason.

    Raises:
        DataError: too little is left to train on, or nothing of another split.
    """
    looks = look_into(source, progress=progress, files_only=True)
    left, problems = without_unreadable(source, looks)
    if problems:
        raise DataError.of(problems)
    return left, {one.path: one.error for found in looks.values() for one in found if one.error}


def without_unreadable(source: Source, looks: Looks) -> tuple[Source, list[str]]:
    """A source without the files that cannot be read, and everything for which the rest cannot be trained on."""
    problems, splits = [], {}
    for name, split in source.splits.items():
        kept = np.asarray([not one.error for one in looks[name]], bool)
        if not _are_files(split) or kept.all():
            splits[name] = split
            continue
        groups = None if split.groups is None else split.groups[kept]
        splits[name] = Split(name, split.images, split.labels[kept], split.positions[kept], groups)
        if not kept.any() and name != "train":
            first = looks[name][0]
            problems.append(f"none of the {len(split)} {name} images can be read, as {first.path!r}: {first.error}")
    left = replace(source, splits=splits)
    if "train" in splits and len(splits["train"]) < len(source.split("train")):
        bad = [one for one in looks["train"] if one.error]
        why = f"{counted(len(bad), 'file')} cannot be read, as {bad[0].path!r}: {bad[0].error}"
        problems += [f"{problem} ({why})" for problem in class_problems(left)]
    problems += _contradictions(source, looks) if source.splits else []
    return left, problems


def quarantine(unreadable: Mapping[str, str]) -> str:
    """One unreadable file a line: its path, as a JSON string, a tab, and why."""
    lines = (f"{json.dumps(file, ensure_ascii=False)}\t{' '.join(why.split())}\n" for file, why in unreadable.items())
    return cache.storable("".join(lines))


def _are_files(split: Split) -> bool:
    return isinstance(split.images, EncodedImages) and split.images.are_files


def _groups(source: Source) -> list[Any]:
    """The group of each image, by the column of a table; None where there is none."""
    return [
        group
        for split in source.splits.values()
        for group in ([None] * len(split) if split.groups is None else split.groups.tolist())
    ]


def _report(name: str, counts: pd.DataFrame, trouble: list[Finding], unreadable: dict[str, str]) -> Report:
    order = ("error", "warning", "note")
    trouble = sorted(trouble, key=lambda finding: order.index(finding.severity))
    trainable = not any(finding.kind == "not trainable" for finding in trouble)
    return Report(name, trainable, counts, tuple(trouble), unreadable)


def _contradictions(source: Source, looks: Looks) -> list[str]:
    """Whether every image has a copy in another class, so that nothing can be learned from any of them."""
    if not all(looks.values()):  # of images in memory nothing is known yet, and nearly always one look suffices
        if not all(_in_memory(split) for split in source.splits.values()) or not _has_contradicting_copy(source):
            return []
        looks = look_into(source)
    images = [
        (one.path if _are_files(split) else f"image {position}", source.class_names[label], one.digest)
        for name, split in source.splits.items()
        for one, label, position in zip(looks[name], split.labels.tolist(), split.positions.tolist(), strict=True)
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
        f"every image has a copy in another class, as {first!r} ({label}) and {other!r} ({other_label}); remove those "
        "in the wrong class"
    ]


def _in_memory(split: Split) -> bool:
    return isinstance(split.images, (ArrayImages, EncodedImages)) and not _are_files(split)


def _has_contradicting_copy(source: Source) -> bool:
    """Whether there is a copy of the first training image in another class."""
    first, label = source.split("train").read(0)
    return any(
        np.array_equal(first, split.read(i)[0])
        for split in source.splits.values()
        for i in np.flatnonzero(split.labels != label)
    )

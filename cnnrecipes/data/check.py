"""What is wrong with a data set, before anything is trained on it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnnrecipes import recipe
from cnnrecipes.data import cache, findings, folder, places, survey, tables
from cnnrecipes.data.facts import describe, facts
from cnnrecipes.data.findings import Finding
from cnnrecipes.data.images import EXTENSIONS
from cnnrecipes.data.sources import Source, Split, check_classes, local_path, open_source
from cnnrecipes.data.store import EncodedImages
from cnnrecipes.errors import DataError
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
    data: Any, *, groups: Callable[[str], Any] | Mapping[str, Any] | None = None, progress: bool = True
) -> Report:
    """Look into every image of a data set: what cannot be read, is odd, occurs twice, or lies in the wrong place.

    Args:
        data: a folder with one sub-folder a class, or with train, val and test of such; or what `fit` takes besides.
        groups: file -> what it belongs with (a patient, a scene), which should not be in two splits; of a table, its
            column of groups.
        progress: show progress.

    Raises:
        DataError: there is no such data set.
    """
    groups = groups.get if isinstance(groups, Mapping) else groups
    root = local_path(data) if isinstance(data, (str, Path)) and folder.is_path(str(data)) else None
    if root is None or tables.is_table(root):
        return _check_source(open_source(data, recipe.Data(name="arrays", validation=0.0, image_size=32)), groups)
    if not places.is_folder(root):
        raise DataError(f"{str(data)!r} is no folder; give one with a sub-folder of images for each class")
    located, closed = survey.files(root)
    images = [file for file in located if file.lower().endswith(EXTENSIONS)]
    found = list(watch(facts(images), f"looking into {len(images):,} images", len(images), progress))
    whole = [one for one in found if not one.error]
    counts = findings.count(Counter(located[one.path] for one in whole))
    trouble = [
        *survey.blocking(root, counts, closed),
        *findings.odd_files(found),
        *findings.other_files(located, images),
    ]
    used = [one for one in whole if located[one.path][1]]
    trouble += [*findings.repeated(used, located), *findings.uneven_classes(counts)]
    if groups is not None:
        trouble += findings.leaks(whole, located, groups)
    return _report(str(data), counts, trouble, {one.path: one.error for one in found if one.error})


def readable(source: Source, *, progress: bool = False) -> tuple[Source, dict[str, str]]:
    """A source without the files that cannot be read, and those, with the reason.

    Raises:
        DataError: too little is left to train on, or nothing of another split.
    """
    bad: dict[str, str] = {}
    splits = {}
    for name, split in source.splits.items():
        splits[name] = split
        if isinstance(split.images, EncodedImages) and split.images.are_files:
            files = [split.images.items[position] for position in split.positions]
            found = watch(facts(files), f"looking into {len(files):,} {name} images", len(files), progress)
            errors = {place: one for place, one in enumerate(found) if one.error}
            bad |= {one.path: one.error for one in errors.values()}
            if len(errors) == len(split) and name != "train":
                first, why = next(iter(bad.items()))
                raise DataError(f"none of the {len(split)} {name} images can be read, as {first!r}: {why}")
            if errors:
                kept = np.setdiff1d(np.arange(len(split)), list(errors))
                splits[name] = Split(name, split.images, split.labels[kept], split.positions[kept])
    if not bad:
        return source, bad
    left = Source(source.name, source.class_names, splits)
    first, why = next(iter(bad.items()))
    try:
        check_classes(left)
    except DataError as error:
        raise DataError(f"{error} ({len(bad)} files cannot be read, as {first!r}: {why})") from None
    return left, bad


def quarantine(unreadable: Mapping[str, str]) -> str:
    """One unreadable file a line: its path, as a JSON string, a tab, and why."""
    lines = (f"{json.dumps(file, ensure_ascii=False)}\t{' '.join(why.split())}\n" for file, why in unreadable.items())
    return cache.storable("".join(lines))


def _check_source(source: Source, groups: Callable[[str], Any] | None) -> Report:
    """Counts, copies, images of one colour and unreadable ones, of what lies in no folders of classes."""
    found, located, group_of = [], {}, {}
    for name, split in source.splits.items():
        are_files = isinstance(split.images, EncodedImages) and split.images.are_files
        if are_files:
            some = list(facts([split.images.items[position] for position in split.positions]))
        else:
            some = [describe(f"{name}[{i}]", split.read(i)[0]) for i in range(len(split))]
        found += some
        labels = (source.class_names[label] for label in split.labels)
        located |= {one.path: (name, label) for one, label in zip(some, labels, strict=True)}
        if split.groups is not None:
            group_of |= {one.path: group for one, group in zip(some, split.groups.tolist(), strict=True)}
    counts = findings.count(Counter(located[one.path] for one in found if not one.error))
    trouble = [*findings.odd_files(found), *findings.repeated(found, located), *findings.uneven_classes(counts)]
    trouble += findings.leaks(found, located, group_of.get if groups is None else groups)
    return _report(source.name, counts, trouble, {one.path: one.error for one in found if one.error})


def _report(name: str, counts: pd.DataFrame, trouble: list[Finding], unreadable: dict[str, str]) -> Report:
    order = ("error", "warning", "note")
    trouble = sorted(trouble, key=lambda finding: order.index(finding.severity))
    trainable = not any(finding.kind == "not trainable" for finding in trouble)
    return Report(name, trainable, counts, tuple(trouble), unreadable)

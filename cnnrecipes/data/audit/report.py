"""Data set check: errors, warnings and notes about a data set before training."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from cnnrecipes._support import user_cache
from cnnrecipes._support.atomic_files import choose_output, make_folder, write_text
from cnnrecipes.data.audit import checks, display
from cnnrecipes.data.audit.checks import DataFinding
from cnnrecipes.data.sources import registry
from cnnrecipes.data.sources.contents import Kind
from cnnrecipes.data.sources.opening import open_own_splits, unrecordable
from cnnrecipes.data.sources.random_access_dataset import Source
from cnnrecipes.data.sources.split_off import split_off
from cnnrecipes.data.unreadable_files import inspect_source, unreadable, without_unreadable
from cnnrecipes.errors import DataError, UnknownNameError
from cnnrecipes.recipe import schema

FILES = ("report.json", "quarantine.txt", "report.html")  # of a saved report


@dataclass(frozen=True, repr=False)
class Report:
    """The report of `check_data`, displayed as tables in Python and in notebooks.

    Attributes:
        name: name of the data.
        trainable: True if `fit` can train on the data, without the unreadable files.
        counts: number of readable images by class (rows) and split (columns).
        findings: errors first, then warnings and notes.
        unreadable: unreadable file -> reason.
        folder: deepest common folder of all files; "" without files.
    """

    name: str
    trainable: bool
    counts: pd.DataFrame
    findings: tuple[DataFinding, ...]
    unreadable: Mapping[str, str]
    folder: str = ""

    def short(self, file: str) -> str:
        """Return a file's path relative to `folder`; a path outside of `folder` is returned unchanged."""
        return file[len(self.folder) + 1 :] if self.folder and file.startswith(self.folder) else file

    def to_dict(self) -> dict[str, Any]:
        """Return all fields of the report as a dict of JSON types."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "folder": self.folder,
            "counts": self.counts.to_dict(),
            "findings": [finding.to_dict() for finding in self.findings],
            "unreadable": dict(self.unreadable),
        }

    def to_json(self) -> str:
        """Return the report as a JSON document."""
        return json.dumps(self.to_dict(), indent=2)

    def __repr__(self) -> str:
        return display.text(self)

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows for the report."""
        return display.fragment(self)

    def save(self, output: str | Path | None = None) -> list[Path]:
        """Write report.json, quarantine.txt and report.html with thumbnails into a folder; return their paths.

        Args:
            output: the folder; None: check/NAME in the current folder, numbered if it exists.

        Raises:
            DataError: the folder is inside the data set.
            WriteError: the folder cannot be created or written.
        """
        from cnnrecipes.data.audit.page import page

        output = _report_folder(self.name) if output is None else Path(output)
        root = Path(self.name).expanduser()
        if root.is_dir() and output.resolve().is_relative_to(root.resolve()):
            raise DataError(
                f"{str(output)!r} lies in the data set itself, which must not be changed; give another folder"
            )
        make_folder(output)
        texts = (self.to_json(), quarantine(self.unreadable), user_cache.storable(page(self)))
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
    """Check all images of a data set: unreadable files, odd images, duplicates, leakage between splits, class sizes.

    The same functions as in `fit` determine if training is possible.

    Args:
        data: see `fit`.
        groups: file -> group (a patient, a scene) that should be in one split only, as a function or a mapping;
            None: the group column of a table.
        layout: meaning of the sub-folders of an image folder: "auto", "splits" or "classes".
        progress: show the progress.

    Raises:
        DataError: there is no such data set.
        UnknownNameError: an unknown data set or layout.
    """
    if layout not in get_args(Kind):
        raise UnknownNameError("layout", layout, get_args(Kind))
    spec = schema.Data(name="arrays", validation=0.0, image_size=32, layout=layout)
    source, problems = open_own_splits(data, spec, progress=progress)
    looks = inspect_source(source, progress=progress)
    left, more = without_unreadable(source, looks)
    problems += more
    problems = [*unrecordable(data), *(problems or _split_problems(left))]
    found = [one for some in looks.values() for one in some]
    names = [user_cache.storable(name) for name in source.class_names]  # as in the table of counts
    located = [(name, names[label]) for name, split in source.splits.items() for label in split.labels.tolist()]
    whole = [i for i, one in enumerate(found) if not one.error]
    counts = checks.count(Counter(located[i] for i in whole))
    groups = groups.get if isinstance(groups, Mapping) else groups
    belongs = [groups(one.path) for one in found] if groups else _groups(source)
    trouble = [
        *(DataFinding("error", "not trainable", problem) for problem in problems),
        *source.layout.left_out,
        *checks.odd_files(found),
        *checks.repeated([found[i] for i in whole], [located[i] for i in whole]),
        *checks.uneven_classes(counts),
        *checks.leaks(found, located, belongs),
    ]
    name = "arrays" if source.name == "arrays" else str(data)
    folder = _common_folder([one.path for one in found])
    return _report(name, counts, trouble, unreadable(looks), folder)


def write_data_report(
    data: str,
    output: str | Path | None = None,
    *,
    overwrite: bool = False,
    layout: Kind = "auto",
    progress: bool = True,
) -> tuple[Report, list[Path]]:
    """Check a data set and write the report; return it with the paths of its files.

    An existing report is found before the images are read.

    Args:
        data: a folder, its archive, a table, a URL or a TFDS name.
        output: folder of the report; None: check/NAME in the current folder, numbered if it exists.
        overwrite: replace an existing report.
        layout, progress: as for `check_data`.

    Raises:
        DataError: there is no such data set, or the folder is inside of it.
        UnknownNameError: an unknown data set or layout.
        WriteError: `output` holds a report already, or cannot be written.
    """
    folder = _report_folder(data, output, overwrite=overwrite)
    report = check_data(data, layout=layout, progress=progress)
    return report, report.save(folder)


def _report_folder(data: str, output: str | Path | None = None, *, overwrite: bool = False) -> Path:
    given = None if output is None else Path(output)
    default = Path("check") / registry.find(data).folder_name(data)
    return choose_output(given, default, names=FILES, overwrite=overwrite)


def _common_folder(files: list[str]) -> str:
    """Return the deepest common folder of all files; "" for images in memory."""
    parts = [file.replace(os.sep, "/").split("/")[:-1] for file in files]
    if not parts:
        return ""
    same = itertools.takewhile(lambda names: len(set(names)) == 1, zip(*parts, strict=False))
    return "/".join(names[0] for names in same)


def quarantine(unreadable: Mapping[str, str]) -> str:
    """Return one line per unreadable file: the path as a JSON string, a tab, and the reason."""
    lines = (f"{json.dumps(file, ensure_ascii=False)}\t{' '.join(why.split())}\n" for file, why in unreadable.items())
    return user_cache.storable("".join(lines))


def _split_problems(source: Source) -> list[str]:
    """Return the problems of splitting the default validation split off the training images; [] if there are none."""
    try:
        return split_off(source, schema.Data(name="arrays"))[1]
    except DataError as error:
        return [str(error)]


def _groups(source: Source) -> list[Any]:
    """Return the group of each image from a table's group column; None for an image without a group."""
    return [
        group
        for split in source.splits.values()
        for group in ([None] * len(split) if split.groups is None else split.groups.tolist())
    ]


def _report(
    name: str, counts: pd.DataFrame, trouble: list[DataFinding], unreadable: dict[str, str], folder: str
) -> Report:
    order = ("error", "warning", "note")
    trouble = sorted(trouble, key=lambda finding: order.index(finding.severity))
    trainable = not any(finding.kind == "not trainable" for finding in trouble)
    return Report(name, trainable, counts, tuple(trouble), unreadable, folder)

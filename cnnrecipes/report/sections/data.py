"""The data: images by split and class, and what was found in them."""

from __future__ import annotations

import os
from collections import Counter

import numpy as np

from cnnrecipes.data.audit import checks
from cnnrecipes.data.audit.file_info import inspect_files
from cnnrecipes.data.sources.class_problems import unmeasured_classes
from cnnrecipes.data.sources.random_access_dataset import Source
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.section import Section, render

KEY, TITLE = "data", "Data"
_FILES = 3  # named per finding
_UNREADABLE = 10
_CLASSES = 1000  # rows
_INSPECTED = 20_000  # files up to which their cached inspection results are read


def data(facts: Facts) -> Section:
    """Return the sizes of splits and classes, findings of the data check, and the files that were left out."""
    source = facts.source
    if source is None and not facts.unreadable:
        return Section(KEY, TITLE, why=facts.why.get("data", "the data were not opened"))
    splits = {name: len(split) for name, split in source.splits.items()} if source is not None else {}
    body = render(
        "data.html",
        name=facts.recipe.data.name,
        splits=splits,
        classes=_counts(source) if source is not None else [],
        more=max(len(source.class_names) - _CLASSES, 0) if source is not None else 0,
        findings=_findings(source, copies=facts.thorough) if source is not None else [],
        unreadable=list(facts.unreadable)[:_UNREADABLE],
        left_out=len(facts.unreadable),
        command=f"cnnrecipes check-data {facts.recipe.data.name}" if facts.recipe.data.name != "arrays" else "",
        missing=facts.why.get("data", "") if source is None else "",
    )
    return Section(KEY, TITLE, body)


def _counts(source: Source) -> list[tuple[str, list[int]]]:
    """Return each class with its number of images in each split."""
    classes = len(source.class_names)
    counts = [np.bincount(split.labels, minlength=classes).tolist() for split in source.splits.values()]
    rows = zip(source.class_names, zip(*counts, strict=True), strict=True)
    return [(name, list(some)) for name, some in rows][:_CLASSES]


def _findings(source: Source, *, copies: bool) -> list[dict]:
    """Return what the check of the data finds in the inspection results of its files, which are cached."""
    located = [
        (name, source.class_names[label]) for name, split in source.splits.items() for label in split.labels.tolist()
    ]
    found = [{"severity": "warning", "message": line, "files": []} for line in unmeasured_classes(source)]
    uneven = checks.uneven_classes(checks.count(Counter(located)))
    found += [{"severity": one.severity, "message": one.message, "files": []} for one in uneven]
    files = [split.files() for split in source.splits.values()]
    known = [some for some in files if some is not None]
    if not copies or len(known) < len(files) or sum(map(len, known)) > _INSPECTED:
        return found
    looks = [one for some in known for one in inspect_files(some)]
    trouble = [*checks.odd_files(looks), *checks.repeated(looks, located)]
    order = ("error", "warning", "note")
    trouble.sort(key=lambda finding: order.index(finding.severity))
    return found + [
        {"severity": one.severity, "message": one.message, "files": [_short(file) for file in one.files[:_FILES]]}
        for one in trouble
    ]


def _short(file: str) -> str:
    """Return the end of a path: folder and name."""
    return os.sep.join(file.split(os.sep)[-2:])

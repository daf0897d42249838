"""Classes without images: problems that prevent training, and classes missing in a split."""

from __future__ import annotations

import numpy as np

from cnnrecipes.data.sources.random_access_dataset import Source, quoted
from cnnrecipes.errors import did_you_mean, listed


def class_problems(source: Source) -> list[str]:
    """Return the problems that prevent training: fewer than two classes, or classes without a training image."""
    if len(source.class_names) < 2:
        left_out = "".join(
            f"; {finding.message}" for finding in source.layout.left_out if finding.severity == "warning"
        )
        return [f"{source.name} has {quoted(source.class_names)}; a classifier needs at least two classes{left_out}"]
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
        f"{source.name}: no training image of class {quoted(empty)}{meant}{dealt}; add images, or remove the class "
        "everywhere"
    ]


def unmeasured_classes(source: Source) -> list[str]:
    """Return one line for each validation or test split that has no images of some classes."""
    lines = []
    for name, part in source.splits.items():
        counts = np.bincount(part.labels, minlength=len(source.class_names))
        lacking = [label for label, count in zip(source.class_names, counts, strict=True) if not count]
        if lacking and name != "train":
            named = quoted(lacking)
            of = f"{len(lacking)} of {len(counts)} classes"
            lines.append(
                f"the {name} split ({len(part)} images) has none of {of}: {named}; its metrics do not measure them. "
                "A class needs 2 images for train and validation, 3 with a test split; groups and copies stay together"
            )
    return lines

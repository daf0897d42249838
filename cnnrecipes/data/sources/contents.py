"""Contents of a data source: images and labels by split, class names, folder layout and problems."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from cnnrecipes.data.audit.checks import DataFinding
from cnnrecipes.data.images.image_store import Pool

Kind = Literal["auto", "splits", "classes"]
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Layout:
    """The detected layout of an image folder or archive, which `fit` and `check_data` print; empty for other sources.

    Attributes:
        root: the folder that contains the split folders or class folders, below any wrapping folders.
        folders: split -> name of its folder in `root`; empty if the folder has no split folders.
        left_out: files and folders that are not used, with severity "warning" or "note".
    """

    root: str = ""
    folders: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[DataFinding, ...] = ()

    def lines(self) -> Iterator[str]:
        """Yield one line about the split folders, if there are any, and one for each finding in `left_out`."""
        if self.folders:
            yield f"splits of {self.root}: " + ", ".join(f"{split} in {name}/" for split, name in self.folders.items())
        for finding in self.left_out:
            yield f"{finding.severity}: {finding.message}"


@dataclass(frozen=True)
class Contents:
    """Everything that a data source reads from one data set.

    Attributes:
        class_names: in label order.
        pools: "train", "validation", "test" -> its images, labels and groups.
        layout: the detected folder layout.
        problems: messages of everything that prevents training on the data.
    """

    class_names: tuple[str, ...]
    pools: Mapping[str, Pool]
    layout: Layout = field(default_factory=Layout)
    problems: tuple[str, ...] = ()

    def in_archive(self, folder: str, archive: str) -> Contents:
        """Return a copy whose layout has the archive's path as root instead of the unpacked folder's."""
        within = os.path.relpath(self.layout.root, folder)
        root = archive if within == os.curdir else os.path.join(archive, within)
        return replace(self, layout=replace(self.layout, root=root))

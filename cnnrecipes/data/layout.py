"""How a data set was understood: the folder that was used, its splits, and what was left out and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cnnrecipes.data.findings import Finding


@dataclass(frozen=True)
class Layout:
    """What was understood of a folder, an archive or a table, for `fit` and `check_data` to print.

    Of arrays, data sets of TFDS and the digits it is empty.
    """

    root: str = ""  # where the splits or the classes lie; a wrapping folder or an archive's cache is followed
    folders: Mapping[str, str] = field(default_factory=dict)  # split -> the name of its folder in root; {}: no splits
    # What is there and not used (severity "warning": look at it; "note": good to know), each with its files.
    left_out: tuple[Finding, ...] = ()

    def lines(self) -> Iterator[str]:
        """One line about the splits' folders, where there are such, and one for each thing that was left out."""
        if self.folders:
            yield f"splits of {self.root}: " + ", ".join(f"{split} in {name}/" for split, name in self.folders.items())
        for finding in self.left_out:
            yield f"{finding.severity}: {finding.message}"

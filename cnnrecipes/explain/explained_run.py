"""The run that is explained, with its predictions and data, and what is found about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnnrecipes._support.atomic_files import write_text
from cnnrecipes.errors import DataError, WriteError, one_line
from cnnrecipes.explain.examined import Examined
from cnnrecipes.explain.run_data import RunData
from cnnrecipes.figures import Picture, save
from cnnrecipes.runs.predictions import Predictions
from cnnrecipes.runs.run import Run


@dataclass
class Explanation:
    """Sentences, tables and pictures that explain a run.

    Attributes:
        split: name of the split.
        sentences: one for each part, for a reader.
        tables: part -> its table.
        files: the files that were written.
    """

    split: str
    sentences: list[str] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as plain values, for JSON."""
        tables = {name: table.to_dict("records") for name, table in self.tables.items()}
        return {"split": self.split, "sentences": self.sentences, **tables, "files": [str(one) for one in self.files]}


@dataclass
class ExplainedRun:
    """The run, its predictions, its data or the reason why they cannot be read, and where to write.

    Attributes:
        run: the run.
        predictions: of the explained split.
        own: they are of the images on which the run was evaluated.
        data: the data; None if they cannot be read.
        missing: why not.
        folder: for tables and pictures.
        images: files for Grad-CAM.
        n: number of images with the largest losses.
        progress: show progress bars.
    """

    run: Run
    predictions: Predictions
    own: bool
    data: RunData | None
    missing: str
    folder: Path
    images: tuple[str | Path, ...]
    n: int
    progress: bool

    def opened(self) -> RunData:
        """Return the data. Raises DataError if they cannot be read."""
        if self.data is None:
            raise DataError(self.missing)
        return self.data

    def fitted(self, name: str) -> np.ndarray | str:
        """Return the image with a name at the model's size, (H, W, C) uint8; or why it cannot be read."""
        try:
            return self.resized(self.opened().read(name))
        except DataError as error:
            return one_line(error)

    def resized(self, image: np.ndarray) -> np.ndarray:
        """Return an image (H, W, C) uint8 at the model's size, resized as in validation."""
        return self.examined.fitted(image[None])[0]

    @cached_property
    def examined(self) -> Examined:
        """The model of the run."""
        return Examined(self.run)

    def file(self, found: Explanation, name: str) -> Path:
        """Return the path of a file to write, and add it to the explanation."""
        path = self.folder / name
        found.files.append(path)
        return path

    def keep(self, found: Explanation, part: str, table: pd.DataFrame) -> None:
        """Add a table to the explanation, and write it as CSV. Raises WriteError."""
        found.tables[part] = table
        text = table.to_csv(index=False, lineterminator="\n")
        write_text(self.file(found, f"{part.replace('-', '_')}.csv"), text)

    def keep_for_report(self, found: Explanation, name: str, table: pd.DataFrame) -> None:
        """Write a table into the run folder, if it is of the images on which the run was evaluated."""
        if not self.own:
            return
        path = self.run.folder / name
        try:
            write_text(path, table.assign(split=found.split).to_csv(index=False, lineterminator="\n"))
        except WriteError as error:  # the run may be read-only
            found.sentences.append(f"the report of the run will not have it: {one_line(error)}")
            return
        if path.resolve() not in [one.resolve() for one in found.files]:
            found.files.append(path)

    def picture(self, found: Explanation, picture: Picture, name: str) -> None:
        """Write a picture, and add it to the explanation. Raises WriteError."""
        save(picture, self.file(found, name), dpi=120)

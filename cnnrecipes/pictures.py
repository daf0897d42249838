"""Pictures: figures that are made without pyplot's global state, shown in notebooks, and written whole."""

from __future__ import annotations

import io
import os
from pathlib import Path

from matplotlib.figure import Figure

from cnnrecipes.errors import ModelError
from cnnrecipes.files import write_whole

SUFFIXES = (".png", ".svg", ".pdf")


class Picture(Figure):
    """A matplotlib figure that a notebook shows by itself, also where pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def drawable(path: str | os.PathLike, suffixes: tuple[str, ...] = SUFFIXES) -> Path:
    """The path of a picture to write. Raises ModelError if its suffix or folder cannot be."""
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ModelError(f"{path}: a picture's suffix is {path.suffix!r}; give {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise ModelError(f"{path}: there is no folder {path.parent}; create it first")
    return path


def save(figure: Figure, path: Path) -> None:
    """Write a figure by the suffix of its path, whole or not at all."""
    write_whole(path, lambda beside: figure.savefig(beside, format=path.suffix[1:].lower()))

"""Pictures: figures that are made without pyplot's global state, shown in notebooks, and written whole."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cnnrecipes.errors import ModelError
from cnnrecipes.files import check_writable, write_whole
from cnnrecipes.terminal import printable

SUFFIXES = (".png", ".svg", ".pdf")


class Picture(Figure):
    """A matplotlib figure that a notebook shows by itself, also where pyplot was never imported."""

    def draw(self, renderer) -> None:
        """Draw; a class name in a script that the font lacks becomes boxes, without a warning for each letter."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def drawable(path: str | os.PathLike, suffixes: tuple[str, ...] = SUFFIXES) -> Path:
    """The path of a picture to write, checked before anything is computed.

    Raises:
        ModelError: a suffix of another kind.
        WriteError: its folder does not exist or cannot be written to, or it is a folder itself.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ModelError(f"{path}: a picture's suffix is {path.suffix!r}; give {' or '.join(suffixes)}")
    return check_writable(path)


def save(figure: Figure, path: Path, **options: Any) -> None:
    """Write a figure atomically, in the format of its path's suffix. Raises WriteError."""
    # By way of memory: on a full disk matplotlib's writers end in errors of their own, and keep the file open.
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:].lower(), **options)
    write_whole(path, lambda beside: beside.write_bytes(buffer.getvalue()))


def label_words(label: np.ndarray, class_names: Sequence[str]) -> str:
    """The class of a label (classes,), or the shares of a mixed one, as text that matplotlib draws as it stands."""
    names = [printable(name).replace("$", r"\$") for name in class_names]  # "$" would begin a formula
    order = [i for i in np.argsort(-label, kind="stable") if label[i] > 0]
    if len(order) == 1:
        return names[order[0]]
    return " ".join(f"{names[i]} {label[i]:.0%}" for i in order)

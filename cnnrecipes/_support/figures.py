"""Pictures: figures that are made without pyplot's global state, shown in notebooks, and written whole."""

from __future__ import annotations

import io
import os
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cnnrecipes._support.atomic_files import check_writable, write_whole
from cnnrecipes._support.console import printable
from cnnrecipes.errors import ModelError

_LETTER = 0.62  # the mean width of a letter, as a share of its size
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
    return " ".join(f"{name} {share}".rstrip() for name, share in _shares(label, class_names))


def label_lines(label: np.ndarray, class_names: Sequence[str], width: float, size: float) -> str:
    """`label_words` above a tile, in at most two lines that are no wider than it: what is too long ends in an ellipsis.

    Of a mixed label the two classes with the largest shares have a line each, where all do not fit into one.

    Args:
        width: of the tile, in inches.
        size: of the letters, in points.
    """
    room = max(int(width * 72 / (_LETTER * size)), 8)
    shares = _shares(label, class_names)
    if len(words := label_words(label, class_names)) <= room:
        return words
    if len(shares) > 1:
        return "\n".join(f"{_cut(name, room - len(share) - 1)} {share}" for name, share in shares[:2])
    first, *rest = textwrap.wrap(words, room)
    return "\n".join([first, _cut(words[len(first) :].strip(), room)]) if rest else first


def _shares(label: np.ndarray, class_names: Sequence[str]) -> list[tuple[str, str]]:
    """The names of a label's classes with their shares, the largest first; of one class alone the share is ""."""
    order = [i for i in np.argsort(-label, kind="stable") if label[i] > 0]
    names = [printable(class_names[i]).replace("$", r"\$") for i in order]  # "$" would begin a formula
    return [(name, f"{label[i]:.0%}" if len(order) > 1 else "") for name, i in zip(names, order, strict=True)]


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"

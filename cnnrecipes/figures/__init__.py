"""Matplotlib figures without pyplot's global state, displayed in notebooks and written atomically."""

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
    """Matplotlib figure that notebooks display as the value of a cell, even if pyplot is not imported."""

    def draw(self, renderer) -> None:
        """Draw the figure; glyphs missing from the font are drawn as boxes, without a warning for each."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def drawable(path: str | os.PathLike, suffixes: tuple[str, ...] = SUFFIXES) -> Path:
    """Check the path of an image file before the image is computed, and return the path.

    Raises:
        ModelError: the suffix is not one of `suffixes`.
        WriteError: its folder does not exist or is not writable, or the path is a folder.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ModelError(f"{path}: the suffix {path.suffix!r} is not supported; give {' or '.join(suffixes)}")
    return check_writable(path)


def save(figure: Figure, path: str | os.PathLike, **options: Any) -> None:
    """Write a figure atomically, in the format given by the path's suffix. Raise WriteError if it cannot be written.

    Args:
        figure: the figure.
        path: file to create or overwrite, with a suffix in SUFFIXES.
        options: keyword arguments of `Figure.savefig`.
    """
    path = Path(path)
    # By way of memory: on a full disk matplotlib's writers end in errors of their own, and keep the file open.
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:].lower(), **options)
    write_whole(path, lambda beside: beside.write_bytes(buffer.getvalue()))


def written(figure: Figure, path: str | os.PathLike | None) -> Figure:
    """Return a figure, written to `path` as by `save`; None: not written."""
    if path:
        save(figure, path)
    return figure


def title_lines(text: object, columns: int) -> str:
    """Return a title for matplotlib in lines of at most `columns` characters: printable, without formulas."""
    return textwrap.fill(printable(text).replace("$", r"\$"), columns)


def label_words(label: np.ndarray, class_names: Sequence[str]) -> str:
    """Return a label (classes,) as text for matplotlib: the class name, or names and percentages of a mixed label."""
    return " ".join(f"{name} {share}".rstrip() for name, share in _shares(label, class_names))


def label_lines(label: np.ndarray, class_names: Sequence[str], width: float, size: float) -> str:
    """Return `label_words` in at most two lines that fit the width of a tile; longer names end in an ellipsis.

    If a mixed label does not fit into one line, the two classes with the largest shares get one line each.

    Args:
        label: (classes,), class probabilities.
        class_names: name of each class.
        width: width of the tile, in inches.
        size: font size, in points.
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
    """Return (class name, percentage) pairs of a label, the largest first; the percentage of a single class is ""."""
    order = [i for i in np.argsort(-label, kind="stable") if label[i] > 0]
    names = [printable(class_names[i]).replace("$", r"\$") for i in order]  # "$" would begin a formula
    return [(name, f"{label[i]:.0%}" if len(order) > 1 else "") for name, i in zip(names, order, strict=True)]


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"

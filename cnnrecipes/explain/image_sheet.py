"""Sheet of images with captions: mistakes with their predictions, and Grad-CAM beside its image."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from cnnrecipes._support.console import printable
from cnnrecipes.figures import Picture, title_lines

_COLUMNS = 6  # images in a row
_WIDTH = 2.0  # of an image, in inches
_LINE = 0.17  # height of a line of a caption, in inches
_LETTERS = 26  # of a line
_LINES = 3


def plot_images(title: str, images: Sequence[Sequence[np.ndarray | str]], captions: Sequence[str]) -> Picture:
    """Draw tiles of one or more images, with a caption below each tile.

    Args:
        title: above all.
        images: of each tile, side by side: (H, W, C) uint8, or a text instead of an image that cannot be read.
        captions: of each tile; longer ones end in an ellipsis.
    """
    beside = max((len(tile) for tile in images), default=1)
    columns = max(min(_COLUMNS // beside, len(images)), 1)
    rows = math.ceil(len(images) / columns) or 1
    height = rows * (_WIDTH + _LINES * _LINE + 0.1)
    figure = Picture(figsize=(columns * beside * _WIDTH + 0.2, height + 0.5))
    figure.suptitle(title_lines(title, max(columns * beside * 18, 36)), fontsize=10)
    grid = figure.subplots(rows, columns * beside, squeeze=False)
    figure.subplots_adjust(0.01, 0.3 / height, 0.99, 1 - 0.5 / (height + 0.5), 0.04, _LINES * _LINE / _WIDTH + 0.05)
    for axes in grid.flat:
        axes.set_axis_off()
    for place, (tile, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(place, columns)
        for offset, image in enumerate(tile):
            _draw(grid[row, column * beside + offset], image)
        text = _caption(caption, _LETTERS * beside)
        first = grid[row, column * beside]
        first.text(0, -0.03, text, transform=first.transAxes, fontsize=8, va="top")
    return figure


def _draw(axes: Axes, image: np.ndarray | str) -> None:
    if isinstance(image, str):
        axes.text(0.5, 0.5, textwrap.fill(printable(image), 20), ha="center", va="center", fontsize=8, wrap=True)
        return
    shown = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
    axes.imshow(shown, interpolation="nearest" if max(image.shape) < 64 else "antialiased")


def _caption(text: str, letters: int) -> str:
    """Return a caption in at most three lines, without formulas."""
    lines = [part for line in text.splitlines() for part in textwrap.wrap(printable(line).replace("$", r"\$"), letters)]
    return "\n".join([*lines[: _LINES - 1], lines[_LINES - 1] + "…"] if len(lines) > _LINES else lines)

"""A sheet of feature maps: the image on top, below it a block of maps for each layer. Measures are inches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cnnrecipes._support.console import printable
from cnnrecipes._support.figures import Picture
from cnnrecipes.analysis.tiles import spread

COLUMNS = 16
WIDTH = 12.0
MARGIN, GAP = 0.15, 0.06
TITLE = 0.6
HEADING, NUMBER = 0.34, 0.17  # room for the name above a layer's maps, and for the number above a map
IMAGE = 1.9  # the height of the image, at most


def draw(
    title: tuple[str, str],
    heading: tuple[str, str],
    image: np.ndarray,
    layers: Sequence[tuple[str, np.ndarray]],
    channels: int,
) -> Figure:
    """The sheet.

    Args:
        title: a line in bold type, and one below it.
        heading: what stands above the image in bold type, and behind it.
        image: (H, W, 3), values 0..1.
        layers: what stands above a layer's maps, and its maps (H, W, C).
        channels: at most so many maps of a layer, those of the highest mean.
    """
    aspect = image.shape[0] / image.shape[1]
    columns = min(COLUMNS, channels)
    width = min(1.5, (WIDTH - 2 * MARGIN - (columns - 1) * GAP) / columns)
    across = max(7.5, 2 * MARGIN + columns * (width + GAP) - GAP)
    figure = Picture()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    _text(axes, MARGIN, 0.27, printable(title[0]), 12, weight="bold")
    _text(axes, MARGIN, 0.52, title[1], 9)
    top = TITLE + HEADING
    said = _text(axes, MARGIN, top - 0.09, heading[0], 10, weight="bold")
    behind = {"xycoords": said, "xytext": (12, 0), "textcoords": "offset points", "va": "bottom"}
    axes.annotate(printable(heading[1]), (1, 0), size=9, **behind)
    height = min(IMAGE, (across - 2 * MARGIN) * aspect)
    _picture(axes, image, MARGIN, top, height / aspect, height)
    top += height
    for label, maps in layers:
        _text(axes, MARGIN, top + 0.25, label, 10, weight="bold")
        # Maps have the shape of the image, but for rounding.
        top = _block(axes, maps, channels, columns, top + HEADING, width, width * aspect)
    figure.set_size_inches(across, top + MARGIN)
    # Last, since each picture sets limits of its own: an inch of the sheet is a unit.
    axes.set(xlim=(0, across), ylim=(top + MARGIN, 0), aspect="auto")
    return figure


def _block(axes: Any, maps: np.ndarray, channels: int, columns: int, top: float, width: float, height: float) -> float:
    """The maps of the highest mean, in lines of `columns`; returns where they end."""
    best = np.argsort(-maps.mean(axis=(0, 1)), kind="stable")[:channels]
    pitch = NUMBER + height + GAP
    for k, channel in enumerate(best):
        left, above = MARGIN + k % columns * (width + GAP), top + k // columns * pitch
        _text(axes, left, above + NUMBER - 0.04, str(channel), 8)
        _picture(axes, spread(maps[..., channel]), left, above + NUMBER, width, height)
    return top + math.ceil(len(best) / columns) * pitch


def _picture(axes: Any, values: np.ndarray, left: float, top: float, width: float, height: float) -> None:
    axes.imshow(values, vmin=0, vmax=1, extent=(left, left + width, top + height, top), aspect="auto", cmap="viridis")


def _text(axes: Any, left: float, base: float, words: str, size: float, **style: Any) -> Any:
    return axes.text(left, base, words, size=size, va="baseline", ha="left", **style)

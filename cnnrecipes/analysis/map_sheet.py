"""Figure of feature maps: the image on top, below it a block of maps per layer; lengths in inches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cnnrecipes._support.console import printable
from cnnrecipes.analysis.grayscale_mosaic import spread
from cnnrecipes.figures import Picture

COLUMNS = 16
WIDTH = 12.0
MARGIN, GAP = 0.15, 0.06
TITLE = 0.6
HEADING, NUMBER = 0.34, 0.17  # heights of the name above a layer's maps and of the number above a map
IMAGE = 1.9  # maximum height of the image


def draw(
    title: tuple[str, str],
    heading: tuple[str, str],
    image: np.ndarray,
    layers: Sequence[tuple[str, np.ndarray]],
    channels: int,
) -> Figure:
    """Draw the figure: one image, and below it the feature maps of each layer.

    Args:
        title: a line in bold type, and a second line.
        heading: text above the image: in bold type, and after it in regular type.
        image: (H, W, 3), values 0..1.
        layers: heading and maps (H, W, C) of each layer.
        channels: maximum number of maps per layer, those with the highest mean.
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
    heading_text = _text(axes, MARGIN, top - 0.09, heading[0], 10, weight="bold")
    behind = {"xycoords": heading_text, "xytext": (12, 0), "textcoords": "offset points", "va": "bottom"}
    axes.annotate(printable(heading[1]), (1, 0), size=9, **behind)
    height = min(IMAGE, (across - 2 * MARGIN) * aspect)
    _picture(axes, image, MARGIN, top, height / aspect, height)
    top += height
    for label, maps in layers:
        _text(axes, MARGIN, top + 0.25, label, 10, weight="bold")
        # Maps have the aspect ratio of the image, except for rounding.
        top = _block(axes, maps, channels, columns, top + HEADING, width, width * aspect)
    figure.set_size_inches(across, top + MARGIN)
    # After all pictures, since each imshow changes the limits: one unit is one inch.
    axes.set(xlim=(0, across), ylim=(top + MARGIN, 0), aspect="auto")
    return figure


def _block(axes: Any, maps: np.ndarray, channels: int, columns: int, top: float, width: float, height: float) -> float:
    """Draw one layer's maps with the highest mean in rows of `columns`; return the y position of the lower end."""
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

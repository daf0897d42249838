"""Block diagram of a model: one column per stage, one box per block, one arrow per link; lengths in inches."""

from __future__ import annotations

import math
import os
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import keras
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Curve

from cnnrecipes.analysis.block_detection import Block, Stage, outline
from cnnrecipes.figures import Picture, drawable, written

POINTS = 9  # font size in boxes
LINE = 0.175  # height of a line of text
CHARACTER = 0.072  # average width of a character
WRAP = 34  # maximum characters of a line
GAP = 0.24  # between boxes
PAD = 0.09  # between a box and its text
SIDE = 0.16  # between a box and the frame of its column
BULGE = 0.34  # horizontal extent of a link
HEADER = 0.8  # height above a column's blocks: its name, output size and first arrow
FOOTER = 0.72  # height below a column's blocks: its cost
TITLE = 0.62
LEGEND = 0.3
ROW = 11.0  # width of a row; wider models are drawn in several rows

INK, QUIET, LINK = "#222222", "#555555", "#c8511b"
FILLS = {"linked": "#dcebf7", "conv": "#e6f2e0", "pool": "#fdf0d5", "dense": "#ece4f5", "other": "#eeeeee"}


def diagram(model: keras.Model, path: str | os.PathLike | None = None) -> Figure:
    """Draw a block diagram of a model: stages from left to right, the blocks of a stage from top to bottom.

    Each stage has its output size (height x width x channels), parameters, and multiply-adds for one image. Stages are
    derived from layer names, or from feature map sizes if the names have no stages; blocks from the graph. Consecutive
    equal blocks are one box marked "x 35".

    Args:
        model: functional or sequential, with a fixed input shape.
        path: file to write the figure to (.svg or .png); None: not written.

    Raises:
        ModelError: a model without a graph or without a fixed input shape, or an unsupported suffix.
        WriteError: the path cannot be written.
    """
    path = path and drawable(path, (".svg", ".png"))
    stages = outline(model)
    rows = _rows(stages)
    inner = [max(_height(stage.blocks) for stage in row) for row in rows]
    # The title and the legend need a minimum width.
    width = max([GAP + sum(_width(stage) + GAP for stage in row) for row in rows] + [7.5])
    height = TITLE + sum(inner) + len(rows) * (HEADER + FOOTER) + LEGEND
    figure = Picture(figsize=(width, height), dpi=150)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    _title(axes, model, stages, height)
    top = TITLE
    for row, depth in zip(rows, inner, strict=True):
        _row(axes, row, top, depth, first=row is rows[0], last=row is rows[-1])
        top += HEADER + depth + FOOTER
    return written(figure, path)


def _rows(stages: Sequence[Stage]) -> list[list[Stage]]:
    """Distribute stages over as few rows as possible, of about equal width."""
    total = sum(_width(stage) + GAP for stage in stages)
    share = total / math.ceil(total / ROW)
    rows: list[list[Stage]] = [[]]
    done = 0.0
    for stage in stages:
        wide = _width(stage) + GAP
        # Start a new row if the middle of the next stage exceeds the row's share.
        if rows[-1] and done + wide / 2 > share * len(rows):
            rows.append([])
        rows[-1].append(stage)
        done += wide
    return rows


def _row(axes: Any, row: Sequence[Stage], top: float, depth: float, *, first: bool, last: bool) -> None:
    left = GAP
    for stage in row:
        if not first or stage is not row[0]:
            _arrow(axes, (left - GAP, top + 0.3), (left, top + 0.3))
        _column(axes, stage, left, top, depth)
        left += _width(stage) + GAP
    if not last:
        _arrow(axes, (left - GAP, top + 0.3), (left, top + 0.3))


def _column(axes: Any, stage: Stage, left: float, top: float, depth: float) -> None:
    width, linked = _width(stage), _is_linked(stage)
    _box(axes, left, top, width, HEADER + depth, "#f7f7f7", "#bbbbbb")
    middle = left + (width - BULGE * linked) / 2
    axes.text(left + width / 2, top + 0.19, stage.name, ha="center", va="center", size=11, weight="bold", color=INK)
    axes.text(left + width / 2, top + 0.42, stage.output, ha="center", va="center", size=10, color=INK)
    y = top + HEADER
    for block in stage.blocks:
        if block.lines != ("image",):
            _arrow(axes, (middle, y - GAP), (middle, y))
        _draw(axes, block, middle, y, width - 2 * SIDE - BULGE * linked)
        y += _block_height(block) + GAP
    y = top + HEADER + depth + 0.2
    for line, count in enumerate(
        (f"{_short(stage.parameters)} parameters", f"{_short(stage.multiply_adds)} mult-adds")
    ):
        axes.text(left + width / 2, y + 0.19 * line, count, ha="center", va="center", size=POINTS, color=QUIET)


def _draw(axes: Any, block: Block, middle: float, top: float, width: float) -> None:
    """Draw a block: a box with its lines of text, its link and its number of repeats."""
    height, left = _block_height(block), middle - width / 2
    if block.repeats > 1:  # drawn as a stack of boxes
        _box(axes, left + 0.05, top + 0.05, width, height, "white", "#999999")
    _box(axes, left, top, width, height, FILLS[_kind(block)], "#777777")
    lines = _text(block)
    # Several branches are a left-aligned list.
    x, side = (left + PAD, "left") if block.lines[0].endswith("branches:") else (middle, "center")
    for i, (line, color) in enumerate(lines):
        y = top + PAD + LINE * (i + 0.5)
        axes.text(x, y, line, ha=side, va="center_baseline", size=POINTS, color=color)
    if block.link is not None:
        _link(axes, middle, left + width, top, top + PAD + LINE * (len(lines) - 0.5))
    if block.repeats > 1:
        style = {"boxstyle": "round,pad=0.25", "fc": INK, "ec": "none"}
        text = f"x {block.repeats}"
        axes.text(left + 0.12, top, text, ha="center", va="center", size=8.5, weight="bold", color="white", bbox=style)


def _link(axes: Any, middle: float, right: float, top: float, end: float) -> None:
    """Draw an arrow around a box, from its input to its last line of text, where the branches merge."""
    start, out = top - GAP / 2, right + BULGE
    points = [(middle, start), (right - 0.1, start), (out, start), (out, end), (right, end)]
    codes = [Curve.MOVETO, Curve.LINETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4]
    curve = Curve(points, codes)
    axes.add_patch(FancyArrowPatch(path=curve, arrowstyle="-|>", mutation_scale=9, lw=1.3, color=LINK, fc="none"))
    axes.plot([middle], [start], "o", ms=3, color=LINK)


def _title(axes: Any, model: keras.Model, stages: Sequence[Stage], height: float) -> None:
    parameters, work = (sum(getattr(stage, name) for stage in stages) for name in ("parameters", "multiply_adds"))
    text = f"{_short(parameters)} parameters, {_short(work)} multiply-adds for one image"
    axes.text(GAP, 0.24, model.name, size=14, weight="bold", va="center", color=INK)
    axes.text(GAP, 0.47, text, size=10, va="center", color=QUIET)
    legend = "/2: every second position, both ways"
    if any(map(_is_linked, stages)):
        legend += "; arrows around a block: its link, with the layers on it in the same color"
    axes.text(GAP, height - 0.2, legend, size=POINTS, va="center", color=QUIET)


def _text(block: Block) -> list[tuple[str, str]]:
    """Return the wrapped lines of a block with their colors; a link's layers come before the merge."""
    colored = [(line, INK) for line in block.lines]
    if block.link:
        colored.insert(-1, (f"link: {block.link}", LINK))
    return [(part, color) for line, color in colored for part in _wrap(line)]


def _wrap(line: str) -> list[str]:
    """Return a line of a block's text in lines of up to WRAP characters, broken only between layers."""
    kept = re.sub(r"(?<![,>:|]) ", "\N{NO-BREAK SPACE}", line)
    indent = "   " if line.startswith("- ") else ""
    parts = textwrap.wrap(kept, WRAP, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)
    return [part.replace("\N{NO-BREAK SPACE}", " ") for part in parts]


def _kind(block: Block) -> str:
    if block.link is not None:
        return "linked"
    text = " ".join(block.lines)
    return next((kind for kind in ("conv", "pool", "dense") if kind in text), "other")


def _width(stage: Stage) -> float:
    lines = [line for block in stage.blocks for line, _ in _text(block)]
    longest = max(map(len, [*lines, stage.output, stage.name, "99.9 M parameters"]))
    return longest * CHARACTER + 2 * PAD + 2 * SIDE + BULGE * _is_linked(stage)


def _is_linked(stage: Stage) -> bool:
    return any(block.link is not None for block in stage.blocks)


def _block_height(block: Block) -> float:
    return LINE * len(_text(block)) + 2 * PAD


def _height(blocks: Sequence[Block]) -> float:
    return sum(_block_height(block) + GAP for block in blocks)


def _short(count: int) -> str:
    """Return a count as text with three significant digits, for example "25.6 M"."""
    for unit, name in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        # From 999,500 on, three digits round up to the next unit: 1.00 M.
        if count >= 0.9995 * unit:
            return f"{count / unit:#.3g}".rstrip(".") + name
    return str(count)


def _box(axes: Any, left: float, top: float, width: float, height: float, fill: str, edge: str) -> None:
    style = "round,pad=0,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch((left, top), width, height, boxstyle=style, fc=fill, ec=edge, lw=0.9))


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, lw=1, color=INK, shrinkA=0, shrinkB=0)
    )

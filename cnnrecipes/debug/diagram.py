"""A model's block diagram: a column a stage, a box a block, an arrow a link that skips it. All lengths are inches."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from typing import Any

import keras
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Curve

from cnnrecipes.debug.drawing import drawable, save
from cnnrecipes.debug.outline import Block, Stage, outline

POINTS = 9  # of the text in boxes
LINE = 0.175  # height of a line of text
CHARACTER = 0.072  # width of one, on average
WRAP = 34  # characters of a line, at most
GAP = 0.24  # between boxes
PAD = 0.09  # in boxes, around the text
SIDE = 0.16  # between a box and its column's frame
BULGE = 0.34  # how far a link swings out
HEADER = 0.62  # of a column: its name and output size
FOOTER = 0.62  # under a column: what it costs
TITLE = 0.62

INK, QUIET, LINK = "#222222", "#555555", "#c8511b"
FILLS = {"linked": "#dcebf7", "conv": "#e6f2e0", "pool": "#fdf0d5", "dense": "#ece4f5", "other": "#eeeeee"}


def diagram(model: keras.Model, path: str | os.PathLike | None = None) -> Figure:
    """Draw a functional or sequential model, its stages from left to right, each with its blocks from top to bottom.

    A stage says the size of its output (height x width x channels), its parameters and its multiply-adds for one
    image. Stages are read from the layers' names or, where these do not tell, from the sizes of the feature maps;
    blocks from the graph. Equal blocks in a row are one box marked "x 35".

    Args:
        path: also write it there, as .svg or .png.

    Raises:
        ModelError: a model without a graph or without a fixed input shape, or a path that cannot be written.
    """
    path = path and drawable(path, (".svg", ".png"))
    stages = outline(model)
    widths = [_width(stage) for stage in stages]
    inner = max(_height(stage.blocks) for stage in stages)
    width = sum(widths) + GAP * (len(stages) + 1)
    height = TITLE + HEADER + inner + FOOTER + 0.35
    # A narrow model still needs room for its title and legend.
    figure = Figure(figsize=(max(width, 7.5), height), dpi=150)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, max(width, 7.5)), ylim=(height, 0))
    axes.axis("off")
    _title(axes, model, stages, height)
    left = GAP
    for i, (stage, wide) in enumerate(zip(stages, widths, strict=True)):
        if i:
            _arrow(axes, (left - GAP, TITLE + HEADER / 2), (left, TITLE + HEADER / 2))
        _column(axes, stage, left, wide, inner)
        left += wide + GAP
    if path:
        save(figure, path)
    return figure


def _column(axes: Any, stage: Stage, left: float, width: float, inner: float) -> None:
    _box(axes, left, TITLE, width, HEADER + inner, "#f7f7f7", "#bbbbbb")
    linked = any(block.link is not None for block in stage.blocks)
    middle = left + (width - BULGE * linked) / 2
    axes.text(left + width / 2, TITLE + 0.2, stage.name, ha="center", va="center", size=11, weight="bold", color=INK)
    axes.text(left + width / 2, TITLE + 0.43, stage.output, ha="center", va="center", size=10, color=INK)
    top = TITLE + HEADER
    for i, block in enumerate(stage.blocks):
        if i:
            _arrow(axes, (middle, top - GAP), (middle, top))
        _draw(axes, block, middle, top, width - 2 * SIDE - BULGE * linked)
        top += _block_height(block) + GAP
    bottom = TITLE + HEADER + inner + 0.22
    for line, count in enumerate(
        (f"{_short(stage.parameters)} parameters", f"{_short(stage.multiply_adds)} mult-adds")
    ):
        axes.text(left + width / 2, bottom + 0.2 * line, count, ha="center", va="center", size=POINTS, color=QUIET)


def _draw(axes: Any, block: Block, middle: float, top: float, width: float) -> None:
    """A box with its lines of text, its link and its number of repeats."""
    height, left = _block_height(block), middle - width / 2
    if block.repeats > 1:  # a stack of cards
        _box(axes, left + 0.05, top + 0.05, width, height, "white", "#999999")
    _box(axes, left, top, width, height, FILLS[_kind(block)], "#777777")
    lines = _text(block)
    for i, (line, color) in enumerate(lines):
        y = top + PAD + LINE * (i + 0.5)
        axes.text(middle, y, line, ha="center", va="center_baseline", size=POINTS, color=color)
    if block.link is not None:
        _link(axes, middle, left + width, top, top + PAD + LINE * (len(lines) - 0.5))
    if block.repeats > 1:
        style = {"boxstyle": "round,pad=0.25", "fc": INK, "ec": "none"}
        text = f"x {block.repeats}"
        axes.text(left + 0.12, top, text, ha="center", va="center", size=8.5, weight="bold", color="white", bbox=style)


def _link(axes: Any, middle: float, right: float, top: float, end: float) -> None:
    """An arrow from the line into a box, around it, to its last line of text, where branches merge."""
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
    if any(block.link is not None for stage in stages for block in stage.blocks):
        legend += "; arrows around a block: its link, with the layers on it in the same color"
    axes.text(GAP, height - 0.15, legend, size=POINTS, va="center", color=QUIET)


def _text(block: Block) -> list[tuple[str, str]]:
    """The lines of a block, wrapped, each with its color; what is on the link stands before the merge."""
    colored = [(line, INK) for line in block.lines]
    if block.link:
        colored.insert(-1, (f"link: {block.link}", LINK))
    return [(part, color) for line, color in colored for part in textwrap.wrap(line, WRAP, subsequent_indent="  ")]


def _kind(block: Block) -> str:
    if block.link is not None:
        return "linked"
    text = " ".join(block.lines)
    return next((kind for kind in ("conv", "pool", "dense") if kind in text), "other")


def _width(stage: Stage) -> float:
    lines = [line for block in stage.blocks for line, _ in _text(block)]
    linked = any(block.link is not None for block in stage.blocks)
    longest = max(map(len, [*lines, stage.output, stage.name, "16.36 M parameters"]))
    return longest * CHARACTER + 2 * PAD + 2 * SIDE + BULGE * linked


def _block_height(block: Block) -> float:
    return LINE * len(_text(block)) + 2 * PAD


def _height(blocks: Sequence[Block]) -> float:
    return sum(_block_height(block) + GAP for block in blocks)


def _short(count: int) -> str:
    """A count in three digits: "25.6 M"."""
    for unit, name in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if count >= unit:
            return f"{count / unit:.3g}{name}" if count < 999.5 * unit else f"{count / unit:.0f}{name}"
    return str(count)


def _box(axes: Any, left: float, top: float, width: float, height: float, fill: str, edge: str) -> None:
    style = "round,pad=0,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch((left, top), width, height, boxstyle=style, fc=fill, ec=edge, lw=0.9))


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, lw=1, color=INK, shrinkA=0, shrinkB=0)
    )

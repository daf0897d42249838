"""Line charts as SVG text: curves over epochs, reliability diagrams, coverage; the page's script reads values out."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from cnnrecipes.figures.number_axis import NumberAxis
from cnnrecipes.figures.svg import apart, chart, escaped, label, line

POINTS = 400  # of a curve at most
_LOG_RATIO = 20.0  # of the largest to the smallest value, from which an axis of losses is logarithmic
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 498.0, 14.0, 236.0


@dataclass(frozen=True)
class Series:
    """A curve.

    Attributes:
        name: in the legend.
        kind: class in the style sheet, which decides color and dashes: "train", "val", "other" or "run0" to "run7".
        x, y: (P,) each; gaps where y is not finite.
        band: (P, 2), lower and upper ends of an area around it; None: no area.
        dots: mark each point.
        weights: (P,), share of the data in each point, 0..1: points are discs of these areas, without a line.
    """

    name: str
    kind: str
    x: np.ndarray
    y: np.ndarray
    band: np.ndarray | None = None
    dots: bool = False
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class Plot:
    """A chart of curves.

    Attributes:
        name: unique in the document.
        title: for screen readers, and above the chart.
        series: the curves.
        across, up: the axes.
        x_title: below the chart.
        marked: a vertical line at this x with a label; None: none.
        diagonal: draw the line from the lower left to the upper right corner.
        described: what the chart shows, for screen readers.
    """

    name: str
    title: str
    series: Sequence[Series]
    across: NumberAxis
    up: NumberAxis
    x_title: str = "epoch"
    marked: tuple[float, str] | None = None
    diagonal: bool = False
    described: str = ""

    def svg(self) -> Markup:
        """Return the chart."""
        parts = [*self._grid()]
        if self.diagonal:
            parts.append(f"<path class='ideal' d='M{_LEFT:g} {_BOTTOM:g}L{_RIGHT:g} {_TOP:g}'/>")
        if self.marked is not None:
            parts += self._mark(*self.marked)
        parts += [shape for one in self.series for shape in self._curve(one)]
        drawn = chart(520, 278, self.title, self.described or self.title, parts, name=self.name)
        return Markup(drawn.replace("<svg ", f"<svg class='plot' {self._data()} ", 1))

    def _grid(self) -> list[str]:
        parts = []
        for tick in apart(self.up.ticks(5), _BOTTOM - _TOP, 14):
            y = _BOTTOM - tick.place * (_BOTTOM - _TOP)
            parts += [line(_LEFT, y, _RIGHT, y, "grid"), label(_LEFT - 6, y + 4, tick.text, anchor="end", kind="t")]
        for tick in apart(self.across.ticks(7), _RIGHT - _LEFT, 44):
            x = _LEFT + tick.place * (_RIGHT - _LEFT)
            parts += [line(x, _BOTTOM, x, _BOTTOM + 4, "axis"), label(x, _BOTTOM + 18, tick.text, anchor="middle")]
        parts.append(line(_LEFT, _BOTTOM, _RIGHT, _BOTTOM, "axis"))
        return [*parts, label(_RIGHT, 274, self.x_title, anchor="end", kind="t")]

    def _mark(self, x: float, text: str) -> list[str]:
        place = _LEFT + (self.across.place(float(x)) or 0.0) * (_RIGHT - _LEFT)
        anchor, shift = ("end", -5) if place > (_LEFT + _RIGHT) / 2 else ("start", 5)
        heights = [
            self.up.place(float(y)) for one in self.series for at, y in zip(one.x, one.y, strict=True) if at == x
        ]
        below = sum(one or 0.0 for one in heights) > len(heights) / 2  # on the side where the curves are not
        words = label(place + shift, _BOTTOM - 8 if below else _TOP + 10, text, anchor=anchor, kind="t halo")
        return [line(place, _TOP, place, _BOTTOM, "marked"), words]

    def _curve(self, one: Series) -> list[str]:
        if one.weights is not None:
            return self._discs(one, one.weights)
        shapes = []
        if one.band is not None:
            low, high = (self._points(one.x, one.band[:, side]) for side in (0, 1))
            around = [*high, *reversed(low)]
            if len(around) > 2:
                shapes.append(f"<path class='band {one.kind}' d='M{'L'.join(around)}Z'/>")
        runs, current = [], []
        for x, y in zip(one.x.tolist(), one.y.tolist(), strict=True):
            if (point := self._point(x, y)) is not None:
                current.append(point)
            elif current:
                runs.append(current)
                current = []
        runs += [current] if current else []
        path = "".join(f"M{'L'.join(run)}" for run in runs if len(run) > 1)
        shapes += [f"<path class='curve {one.kind}' d='{path}'/>"] if path else []
        alone = runs if one.dots else [run for run in runs if len(run) == 1]
        for x, _, y in (point.partition(" ") for run in alone for point in run):
            shapes.append(f"<circle class='dot {one.kind}' cx='{x}' cy='{y}' r='3.2'/>")
        return shapes

    def _discs(self, one: Series, weights: np.ndarray) -> list[str]:
        shapes = []
        for x, y, weight in zip(one.x.tolist(), one.y.tolist(), weights.tolist(), strict=True):
            if (point := self._point(x, y)) is not None:
                across, _, down = point.partition(" ")
                radius = 2.5 + 9 * math.sqrt(weight)
                shapes.append(f"<circle class='disc {one.kind}' cx='{across}' cy='{down}' r='{radius:.1f}'/>")
        return shapes

    def _points(self, x: np.ndarray, y: np.ndarray) -> list[str]:
        found = (self._point(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True))
        return [point for point in found if point is not None]

    def _point(self, x: float, y: float) -> str | None:
        """Return the coordinates of a point; values beyond the axis are drawn at its end."""
        place, height = self.across.place(float(x)), self.up.place(float(y))
        if place is None or height is None:
            return None
        height = min(max(height, 0.0), 1.0)
        return f"{_LEFT + place * (_RIGHT - _LEFT):.1f} {_BOTTOM - height * (_BOTTOM - _TOP):.1f}"

    def _data(self) -> str:
        """Return the values as an attribute, which the script reads out under the pointer."""
        if not self.series:
            return ""
        x = max((one.x for one in self.series), key=len).tolist()
        values = []
        for one in self.series:
            known = dict(zip(one.x.tolist(), one.y.tolist(), strict=True))
            texts = [known.get(at, math.nan) for at in x]
            values.append({"name": one.name, "y": ["" if math.isnan(y) else self._text(y) for y in texts]})
        places = [round(_LEFT + (self.across.place(float(at)) or 0.0) * (_RIGHT - _LEFT), 1) for at in x]
        found = {"title": self.x_title, "x": [f"{at:.4g}" for at in x], "at": places, "series": values}
        return f"data-values='{html.escape(json.dumps(found, ensure_ascii=False), quote=True)}'"

    def _text(self, value: float) -> str:
        return f"{value:.2%}" if self.up.percent else f"{value:.4g}"


def legend(series: Sequence[Series]) -> Markup:
    """Return the legend of curves: a sample of each line and its name."""
    rows = "".join(
        f"<li><svg width='26' height='10' aria-hidden='true'><path class='curve {one.kind}' d='M1 5H25'/></svg> "
        f"<bdi>{escaped(one.name)}</bdi></li>"
        for one in series
    )
    return Markup(f"<ul class='legend'>{rows}</ul>")


def value_axis(values: Sequence[np.ndarray], *, percent: bool = False) -> NumberAxis:
    """Return an axis for all finite values; of losses that differ by orders of magnitude a logarithmic one."""
    known = [one for one in np.concatenate([*values, np.zeros(0)]).tolist() if math.isfinite(one)] or [0.0, 1.0]
    low, high = min(known), max(known)
    room = max((high - low) * 0.05, 0.01 if percent else abs(high) * 0.02, 1e-9)
    if percent:
        return NumberAxis(max(low - room, 0.0), min(high + room, 1.0), percent=True)
    if low > 0 and high / low > _LOG_RATIO:
        return NumberAxis(low / 1.15, high * 1.15, log=True)
    return NumberAxis(max(low - room, 0.0) if low >= 0 else low - room, high + room)


def epoch_axis(epochs: Sequence[np.ndarray]) -> NumberAxis:
    """Return an axis of epochs; of a single epoch it ends one after it."""
    found = np.concatenate([*epochs, np.zeros(0)])
    low, high = (float(found.min()), float(found.max())) if len(found) else (0.0, 1.0)
    return NumberAxis(low, high if high > low else low + 1, whole=True)


def thinned(values: np.ndarray, most: int = POINTS) -> np.ndarray:
    """Return at most `most` of the values, evenly spaced, the first and the last among them."""
    if len(values) <= most:
        return values
    return values[np.unique(np.linspace(0, len(values) - 1, most).round().astype(int))]

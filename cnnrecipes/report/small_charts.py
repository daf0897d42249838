"""Small charts as SVG text: an interval on a scale, and sparklines of a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from cnnrecipes.figures.svg import chart, label, line

_WIDTH, _HEIGHT = 84.0, 22.0  # of a sparkline


def interval_chart(value: float, low: float, high: float, chance: float | None, name: str) -> Markup:
    """Return an accuracy with its interval on a scale from 0 to 100%, and the accuracy of the best constant answer.

    Args:
        value, low, high: the accuracy and its 95% interval, 0..1.
        chance: of the best constant answer; None: not known.
        name: unique in the document.
    """
    left, right, middle = 12.0, 308.0, 20.0

    def x(share: float) -> float:
        return left + min(max(share, 0.0), 1.0) * (right - left)

    parts = [line(left, middle, right, middle, "axis")]
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        parts.append(line(x(share), middle - 3, x(share), middle + 3, "axis"))
        parts.append(label(x(share), middle + 19, f"{share:.0%}", anchor=anchor, kind="t"))
    guess = "" if chance is None else f"{chance:.{int(chance < 0.095)}%}"  # 0.5% for 200 classes, 50% for two
    if chance is not None and 0 < chance < 1:
        parts.append(line(x(chance), middle - 9, x(chance), middle + 9, "chance"))
        anchor = "start" if chance < 0.25 else "middle"
        parts.append(label(x(chance), 9, f"chance {guess}", anchor=anchor, kind="t"))
    width = max(x(high) - x(low), 2.0)
    parts.append(f"<rect class='interval' x='{x(low):.1f}' y='{middle - 6}' width='{width:.1f}' height='12' rx='1'/>")
    parts.append(f"<path class='estimate' d='M{x(value):.1f} {middle - 9}V{middle + 9}'/>")
    words = f"{value:.1%}, 95% interval {low:.1%} to {high:.1%}"
    if chance is not None:
        words += f"; the best constant answer is right on {guess}"
    return Markup(chart(320, 44, "Accuracy with its interval", words, parts, name=name))


def sparkline(values: Sequence[float], *, log: bool = False, guide: float | None = None) -> Markup:
    """Return values in order as a small line; it is decoration: the table has the last value as text.

    Args:
        values: any numbers; gaps where they are not finite, and on a logarithmic axis not above 0.
        log: the axis is logarithmic.
        guide: a value that is marked by a dashed line if it is within the range.
    """
    shown = [_height(value, log) for value in values]
    known = [one for one in shown if one is not None]
    if not known:
        return Markup("")
    low, high = min(known), max(known)
    span = high - low or 1.0

    def y(height: float) -> float:
        return _HEIGHT - 3 - (height - low) / span * (_HEIGHT - 6) if high > low else _HEIGHT / 2

    step = (_WIDTH - 6) / max(len(shown) - 1, 1)
    path, pen = "", "M"
    for place, one in enumerate(shown):
        if one is None:
            pen = "M"
            continue
        path += f"{pen}{3 + place * step:.1f} {y(one):.1f}"
        pen = "L"
    mark = _height(guide, log) if guide is not None else None
    within = mark is not None and low <= mark <= high
    line_at = f"<path class='guide' d='M3 {y(mark or 0.0):.1f}H{_WIDTH - 3:g}'/>" if within else ""
    last = next(place for place in reversed(range(len(shown))) if shown[place] is not None)
    end = f"<circle cx='{3 + last * step:.1f}' cy='{y(shown[last] or 0.0):.1f}' r='2'/>"
    return Markup(
        f"<svg class='spark' viewBox='0 0 {_WIDTH:g} {_HEIGHT:g}' width='{_WIDTH:g}' height='{_HEIGHT:g}' "
        f"aria-hidden='true'>{line_at}<path class='trace' d='{path}'/>{end}</svg>"
    )


def _height(value: float, log: bool) -> float | None:
    if not math.isfinite(value) or (log and value <= 0):
        return None
    return math.log10(value) if log else value

"""The map of an embedding as SVG text: points by class, and thumbnails of some images at their points."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from cnnrecipes.figures.svg import chart, escaped
from cnnrecipes.report.thumbnails import Sheet

WIDTH, HEIGHT = 720.0, 520.0
COLORED = 24  # classes up to which a point has the color and the shape of its class
_COLORS = 8
_EDGE = 18.0  # left free
_RADIUS = 4.0
_PIXELS = 32  # up to which the pixels of a thumbnail are visible
_THUMBNAIL = 30.0  # longer side on the map
_APART = 34.0  # distance of two thumbnails, across or down
_SHAPES = (
    "M{x0} {y}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0z",  # circle
    "M{x0} {y0}h{d}v{d}h-{d}z",  # square
    "M{x} {y0}l{r} {d}h-{d}z",  # triangle
)


def places_of_points(positions: np.ndarray) -> np.ndarray:
    """Return positions in the plane (N, 2) as places on the map, both axes at one scale."""
    low, extent = positions.min(axis=0), np.maximum(np.ptp(positions, axis=0), 1e-9)
    room = np.asarray([WIDTH, HEIGHT]) - 2 * _EDGE
    scale = float((room / extent).min())
    places = (positions - low - extent / 2) * scale
    return np.asarray([WIDTH / 2, HEIGHT / 2]) + places * [1, -1]


def kind_of(label: int, right: bool, classes: int) -> str:
    """Return the class of a point in the style sheet: of its label's color, or, with many classes, right or wrong."""
    color = f"run{label % _COLORS}" if classes <= COLORED else "run0" if right else "run1"
    return color if right else f"{color} bad"


def embedding_chart(
    places: np.ndarray, labels: np.ndarray, right: np.ndarray, classes: int, thumbnails: Sheet, words: str
) -> Markup:
    """Return the map; point `i` has the attribute `data-i`.

    Args:
        places: (N, 2), on the map.
        labels: (N,) class numbers.
        right: (N,) bool, whether the prediction is the label; the others are drawn last and outlined.
        classes: number of classes.
        thumbnails: of the points.
        words: what it shows, for screen readers.
    """
    order = np.argsort(~right, kind="stable").tolist()
    points = "".join(
        f"<path class='point {kind_of(int(labels[i]), bool(right[i]), classes)}' data-i='{i}' "
        f"d='{_shape(places[i], int(labels[i]) // _COLORS if classes <= COLORED else 0)}'/>"
        for i in order
    )
    parts = [f"<g class='points'>{points}</g>", *_thumbnails(places, labels, right, classes, thumbnails)]
    drawn = chart(WIDTH, HEIGHT, "Map of the features", words, parts, name="embedding-map")
    pixels = " pixels" if max(thumbnails.width, thumbnails.height) <= _PIXELS else ""
    return Markup(drawn.replace("<svg ", f"<svg class='map{pixels}' ", 1))


def mark(label: int) -> Markup:
    """Return the mark of a class, for the legend."""
    shape = _shape(np.asarray([7.0, 7.0]), label // _COLORS)
    return Markup(
        f"<svg width='14' height='14' aria-hidden='true'><path class='point run{label % _COLORS}' d='{shape}'/></svg>"
    )


def _shape(place: np.ndarray, shape: int) -> str:
    x, y = place.tolist()
    r = _RADIUS
    values = {"x": x, "y": y, "x0": x - r, "y0": y - r, "r": r, "d": 2 * r}
    return _SHAPES[shape].format(**{name: f"{value:.1f}".removesuffix(".0") for name, value in values.items()})


def _thumbnails(
    places: np.ndarray, labels: np.ndarray, right: np.ndarray, classes: int, thumbnails: Sheet
) -> list[str]:
    """Return the thumbnails of some points, framed in the color of the point, as a group that is hidden at first."""
    if not thumbnails.uri:
        return []
    width, height = thumbnails.size
    scale = _THUMBNAIL / max(thumbnails.width, thumbnails.height)
    wide, high = thumbnails.width * scale, thumbnails.height * scale
    drawn = []
    for i in _apart(places, right, np.asarray(thumbnails.shown)):
        x, y = places[i] - np.asarray([wide, high]) / 2
        left, top = thumbnails.corner(i)
        drawn.append(
            f"<svg x='{x:.1f}' y='{y:.1f}' width='{wide:.1f}' height='{high:.1f}' preserveAspectRatio='none' "
            f"viewBox='{left} {top} {thumbnails.width} {thumbnails.height}'><use href='#sheet'/></svg>"
            f"<rect class='frame {kind_of(int(labels[i]), bool(right[i]), classes)}' data-i='{i}' x='{x:.1f}' "
            f"y='{y:.1f}' width='{wide:.1f}' height='{high:.1f}'/>"
        )
    image = f"<image id='sheet' width='{width}' height='{height}' href='{escaped(thumbnails.uri)}'/>"
    return [f"<defs>{image}</defs><g class='thumbs'>{''.join(drawn)}</g>"]


def _apart(places: np.ndarray, right: np.ndarray, shown: np.ndarray) -> list[int]:
    """Return points whose thumbnails do not cover each other, wrong predictions first."""
    chosen: list[int] = []
    for i in np.argsort(right, kind="stable").tolist():
        near = np.abs(places[chosen] - places[i]).max(axis=1) if chosen else np.zeros(0)
        if shown[i] and (near >= _APART).all():
            chosen.append(i)
    return chosen

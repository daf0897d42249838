"""Assertions that the text and the legend of a Matplotlib figure are readable."""

from __future__ import annotations

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.text import Text


def assert_legible(figure):
    """All text but tick labels is inside the figure, at least 8 points high, and does not overlap other text."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes = [axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)]
    ticks = {text for axis in axes for text in axis.findobj(Text) if text is not axis.label}
    texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text not in ticks]
    boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in texts]
    for (text, box), artist in zip(boxes, texts, strict=True):
        assert artist.get_size() >= 8, text
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.width, text
        assert box.y1 <= figure.bbox.height, text
    for (one, a), (other, b) in combinations(boxes, 2):
        assert not a.shrunk(0.98, 0.98).overlaps(b.shrunk(0.98, 0.98)), f"{one!r} on {other!r}"


def assert_legend_matches_lines(axes):
    """Each legend entry has the color, line style and marker of the line with its label."""
    lines = {line.get_label(): line for line in axes.lines}
    legend = axes.get_legend()
    for handle, text in zip(legend.get_lines(), legend.get_texts(), strict=True):
        line = lines[text.get_text()]
        assert to_rgba(handle.get_color()) == to_rgba(line.get_color())
        assert (handle.get_linestyle(), handle.get_marker()) == (line.get_linestyle(), line.get_marker())

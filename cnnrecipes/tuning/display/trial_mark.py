"""The mark of a trial in the charts of a search, as SVG."""

from __future__ import annotations


def mark(x: float, y: float, status: str, *, trial: int, best: bool = False, size: float = 4.0) -> str:
    """Return the mark of a trial: a disc if completed, a hollow triangle if pruned, a cross if failed."""
    names = f"{status} best" if best else status
    size = size * 1.5 if best else size
    if status == "completed":
        return f"<circle class='m {names}' data-t='{trial}' cx='{x:.1f}' cy='{y:.1f}' r='{size:.3g}'/>"
    if status == "pruned":
        shape = f"M{x:.1f} {y - size:.1f}l{size:.3g} {1.8 * size:.3g}h{-2 * size:.3g}z"
    else:
        a = 0.8 * size
        shape = f"M{x - a:.1f} {y - a:.1f}l{2 * a:.3g} {2 * a:.3g}m0 {-2 * a:.3g}l{-2 * a:.3g} {2 * a:.3g}"
    return f"<path class='m {names}' data-t='{trial}' d='{shape}'/>"

"""Lines that fit a terminal: broken between words, with a hanging indent, and never inside a path or a number."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from rich.cells import cell_len

NARROW = 70  # columns; below, there is no room for a bar beside its numbers


def terminal_width() -> int | None:
    """Columns of the terminal that the standard output is; None where it is a file, a pipe or a notebook."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def wrap(text: str, columns: int | None, indent: int = 2) -> str:
    """Break a text into lines of at most `columns` cells; a longer word, for example a path, is left whole.

    Args:
        columns: of the terminal; None: nothing is broken.
        indent: spaces before every line but the first.
    """
    return _joined(text.split(" "), " ", columns, indent)


def fields(parts: Sequence[str], columns: int | None, optional: int = 0) -> str:
    """Join parts by two spaces, in a line if they fit without some of the last `optional`, or else in several.

    Args:
        columns: of the terminal; None: one line of all parts.
    """
    shortest = len(parts) - optional
    for count in range(len(parts), shortest - 1, -1):
        line = "  ".join(parts[:count])
        if columns is None or cell_len(line) <= columns:
            return line
    return _joined(parts[:shortest], "  ", columns, indent=2)


def _joined(parts: Sequence[str], space: str, columns: int | None, indent: int) -> str:
    if columns is None:
        return space.join(parts)
    first, *rest = parts
    lines = [first]
    for part in rest:
        longer = lines[-1] + space + part
        if cell_len(longer) <= columns:
            lines[-1] = longer
        elif part:  # spaces at a break are left out
            lines.append(" " * indent + part)
    return "\n".join(lines)

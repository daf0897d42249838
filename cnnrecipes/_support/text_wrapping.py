"""Text wrapping at the terminal width, between words only, with a hanging indent."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from rich.cells import cell_len

NARROW = 70  # columns; a narrower terminal cannot show a progress bar beside its numbers


def terminal_width() -> int | None:
    """Return the width of the terminal on standard output; None if it is a file, a pipe or a notebook."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def wrap(text: str, columns: int | None, indent: int = 2) -> str:
    """Wrap text at `columns` cells; a longer word, for example a path, is not broken.

    Args:
        text: the text to wrap.
        columns: width of the terminal; None: do not wrap.
        indent: spaces before each continuation line.
    """
    return _joined(text.split(" "), " ", columns, indent)


def fields(parts: Sequence[str], columns: int | None, optional: int = 0) -> str:
    """Join parts by two spaces; omit optional parts that do not fit into one line, then wrap.

    Args:
        parts: the fields, for example "loss 0.31".
        columns: width of the terminal; None: one line with all parts.
        optional: number of parts at the end that may be omitted.
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
        elif part:  # spaces at a line break are dropped
            lines.append(" " * indent + part)
    return "\n".join(lines)

"""What is shown while something takes its time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")
LONG = 1000  # items from which on a line is worth it where there is no bar


def watch(items: Iterable[Item], what: str, total: int | None, show: bool, *, always: bool = False) -> Iterator[Item]:
    """The items, with a bar on a terminal, and elsewhere a line before many of them, or always.

    Args:
        total: None: not known.
    """
    console = Console()
    # In a notebook rich wants ipywidgets for its bar, and warns where they are missing.
    if show and console.is_terminal:
        yield from track(items, what, total, console=console, transient=True)
        return
    if show and (always or (total or 0) >= LONG):
        print(what)
    yield from items

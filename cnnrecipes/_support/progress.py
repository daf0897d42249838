"""Progress bars that fit the terminal and can be told on white and on black."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column

from cnnrecipes._support.wrapping import NARROW

Item = TypeVar("Item")
LONG = 1000  # items from which on a line is worth it where there is no bar
_SHARE = 6  # columns of a percentage with a space before it, and one at the end
_DONE, _LEFT = "dodger_blue2", "grey58"  # rich's own rest of a bar is darker on white than what is done


def watch(items: Iterable[Item], what: str, total: int | None, show: bool, *, always: bool = False) -> Iterator[Item]:
    """The items, with a bar on a terminal, and elsewhere a line before many of them, or always.

    Args:
        total: None: not known.
    """
    console = Console()
    # In a notebook rich wants ipywidgets for its bar, and warns where they are missing.
    if show and console.is_terminal and not console.is_jupyter:
        share = TaskProgressColumn(table_column=Column(no_wrap=True, min_width=4))
        left = [] if console.width < NARROW else [TimeRemainingColumn()]
        with bar(console, share, *left) as progress:
            yield from progress.track(items, total, description=what)
        return
    if show and (always or (total or 0) >= LONG):
        print(what)
    yield from items


def bar(console: Console, *numbers: ProgressColumn) -> Progress:
    """A description, a bar and what stands behind it, which vanish at the end; on a narrow terminal without the bar."""
    room = Column(no_wrap=True, overflow="ellipsis", max_width=console.width - _SHARE)
    words = TextColumn("{task.description}", table_column=room)
    line = BarColumn(style=_LEFT, complete_style=_DONE, finished_style=_DONE, pulse_style=_DONE)
    columns = (words, *numbers) if console.width < NARROW else (words, line, *numbers)
    return Progress(*columns, console=console, transient=True)

"""Progress bars that fit the terminal width and are legible on light and dark backgrounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column

from cnnrecipes._support.text_wrapping import NARROW

Item = TypeVar("Item")
LONG = 1000  # number of items from which a description is printed if there is no bar
_SHARE = 6  # columns of a percentage with a space on either side
_DONE, _LEFT = "dodger_blue2", "grey58"  # with rich's defaults, the rest of a bar stands out more on white


def watch(items: Iterable[Item], what: str, total: int | None, show: bool, *, always: bool = False) -> Iterator[Item]:
    """Yield the items, with a progress bar on a terminal; elsewhere print the description once.

    Args:
        items: the items.
        what: description of the work.
        total: number of items; None if unknown.
        show: False: print nothing.
        always: without a terminal, print the description for fewer than LONG items too.
    """
    console = Console()
    # In a notebook rich's bar needs ipywidgets, and warns if they are missing.
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
    """Return a transient progress display: description, bar and `numbers`; on a narrow terminal without the bar."""
    room = Column(no_wrap=True, overflow="ellipsis", max_width=console.width - _SHARE)
    words = TextColumn("{task.description}", table_column=room)
    line = BarColumn(style=_LEFT, complete_style=_DONE, finished_style=_DONE, pulse_style=_DONE)
    columns = (words, *numbers) if console.width < NARROW else (words, line, *numbers)
    return Progress(*columns, console=console, transient=True)

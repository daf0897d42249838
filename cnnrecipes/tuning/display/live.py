"""The live table of a search on a terminal: running trials with their epochs and scores, the best ones, time left."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cnnrecipes._support.console import printable
from cnnrecipes._support.text_wrapping import NARROW
from cnnrecipes.tuning.display.axes import shown_value
from cnnrecipes.tuning.display.snapshot import Snapshot
from cnnrecipes.tuning.records import RUNNING, Trial

if TYPE_CHECKING:
    from cnnrecipes.tuning.search import Search

_BEST, _RUNNING = 5, 8  # rows
_SECONDS = 1.0  # between two readings of the folder
_SHARE = 0.02  # of the time, at most, that they take


@contextlib.contextmanager
def live_table(search: Search, show: bool, console: Console | None = None) -> Iterator[None]:
    """Show the state of a search below the printed lines in the `with` block; only on a terminal, and then removed.

    Args:
        search: the search; its folder is read every second.
        show: False: nothing.
        console: where; None: standard output.
    """
    console = console or Console()
    if not show or not console.is_terminal or console.is_jupyter or console.is_dumb_terminal:
        yield
        return
    table = _LiveTable(search, console.width)
    with Live(get_renderable=table.render, console=console, refresh_per_second=2, transient=True):
        try:
            yield
        finally:
            table.end()


class _LiveTable:
    """The live table; its thread reads the folder of the search at most once a second."""

    def __init__(self, search: Search, width: int):
        self.search, self.width = search, width
        self.shown: RenderableType = Text("")
        self.next = 0.0
        self.ended = False
        self.lock = threading.Lock()

    def render(self) -> RenderableType:
        with self.lock:
            started = time.monotonic()
            if not self.ended and started >= self.next:
                with contextlib.suppress(Exception):  # for example a file that is being written
                    self.shown = state_table(Snapshot.of(self.search), self.width)
                ended = time.monotonic()
                self.next = ended + max(_SECONDS, (ended - started) / _SHARE)
            return self.shown

    def end(self) -> None:
        self.ended, self.shown = True, Text("")


def state_table(view: Snapshot, width: int) -> RenderableType:
    """Return the running trials and the best ones as a table, with a line below it; at most 14 lines.

    Args:
        view: the search.
        width: columns of the terminal; a narrow one gets no values.
    """
    running = [one for one in view.trials if one.status == RUNNING]
    table = Table(box=None, padding=(0, 2, 0, 0), width=width)
    for name in ("trial", "status", "epoch", view.objective):
        table.add_column(name, justify="left" if name == "status" else "right", no_wrap=True)
    wide = width >= NARROW
    if wide:
        table.add_column("values", no_wrap=True, overflow="ellipsis", ratio=1)
    for one in [*running[:_RUNNING], *view.ranked[:_BEST]]:
        cells = _cells(view, one, best=one.trial == view.best)
        table.add_row(*map(Text, cells if wide else cells[:-1]))
    line = Text(state_line(view, running), no_wrap=True, overflow="ellipsis")
    return Group(table, line) if table.row_count else line


def state_line(view: Snapshot, running: Sequence[Trial]) -> str:
    """Return how far the search is, the best score, and about how long the rest takes."""
    over = sum(one.over for one in view.trials)
    parts = [f"{over} of {view.settings.limit} trials"]
    if view.ranked:
        best = view.ranked[0]
        parts.append(f"best {view.shown(best.score)} (trial {best.trial})")
    if over >= view.settings.limit:
        parts.append(f"{view.retrained} of {view.settings.best * view.settings.seeds} trainings of the best ones")
    elif over:
        left = (view.settings.limit - over) * max(view.ends.values(), default=0.0) / over
        parts.append(f"about {_duration(left)} left for the trials")
    return ", ".join(parts)


def _cells(view: Snapshot, one: Trial, *, best: bool) -> list[str]:
    epoch, score = str(one.epochs or ""), one.score
    if one.status == RUNNING:
        history = one.history(view.folder, view.objective)
        epoch = str(max(history, default=0))
        score = history[max(history)] if history else None
    values = ", ".join(f"{key.rpartition('.')[2]}={shown_value(value)}" for key, value in one.values.items())
    status = "best" if best else one.status
    return [str(one.trial), status, epoch, "" if score is None else view.shown(score), printable(values)]


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

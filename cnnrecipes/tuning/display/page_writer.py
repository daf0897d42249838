"""`PageWriter`: writes the page of a search, and TensorBoard's files, while it is running without slowing it down."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cnnrecipes._support.atomic_files import write_text
from cnnrecipes.errors import one_line
from cnnrecipes.tuning.display.hparams import log_trial
from cnnrecipes.tuning.display.importance import Importances, importances
from cnnrecipes.tuning.display.page import PAGE, page
from cnnrecipes.tuning.display.snapshot import Snapshot
from cnnrecipes.tuning.records import Trial

if TYPE_CHECKING:
    from cnnrecipes.tuning.search import Search

_GROWTH = 1.2  # of the number of trials with a score, after which the importances are computed again
_SHARE = 0.1  # of the time, at most, that is spent on pages


class PageWriter:
    """Writes search.html after each trial; an error is reported once, and does not end the search.

    Importances are computed again when there are a fifth more trials. If pages take more than a tenth of the time, as
    with thousands of trials of a second, some are left out.
    """

    def __init__(self, search: Search, say: Callable[[str], None]):
        self.search, self.say = search, say
        self.found: Importances | None = None
        self.scored = 0
        self.not_before = 0.0
        self.failed = False

    def trial_over(self, trial: Trial) -> None:
        """Write what shows a trial that is over."""
        try:
            log_trial(self.search, trial)
        except Exception as error:
            self.say(f"TensorBoard's files of trial {trial.trial} cannot be written ({one_line(error)})")
        self.write()

    def write(self) -> None:
        """Write the page unless the last one took too long for that."""
        started = time.monotonic()
        if started < self.not_before or self.failed:
            return
        try:
            self._write(Snapshot.of(self.search))
        except Exception as error:  # the trials are worth more than their page
            self.failed = True
            self.say(f"{PAGE} cannot be written ({one_line(error)}); the search goes on without")
        ended = time.monotonic()
        self.not_before = ended + (ended - started) / _SHARE

    def finish(self) -> None:
        """Write the page in any case, with importances of all trials."""
        self.scored, self.not_before, self.failed = 0, 0.0, False
        self.write()

    def _write(self, view: Snapshot) -> None:
        if len(view.scored) >= max(_GROWTH * self.scored, 1):
            self.found, self.scored = view_importances(view), len(view.scored)
        write_text(self.search.folder / PAGE, page(view, self.found))


def write_page(search: Search) -> Path:
    """Write the page of a search into its folder, and return its path.

    Raises:
        RunError: a file of the search is damaged.
        WriteError: the page cannot be written.
    """
    path = search.folder / PAGE
    write_text(path, html_of(search))
    return path


def html_of(search: Search) -> str:
    """Return the page of a search. Raises RunError if a file of it is damaged."""
    view = Snapshot.of(search)
    return page(view, view_importances(view))


def view_importances(view: Snapshot) -> Importances:
    """Return the importances of the keys of a search."""
    return importances(view.entries, view.trials, maximizes=view.settings.maximizes, seed=view.settings.seed)

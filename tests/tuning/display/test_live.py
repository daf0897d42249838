"""The live table of a search on a terminal."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console
from screen import Screen
from synthetic_search import many_trials, search_with, trial

from cnnrecipes.tuning.display.live import live_table, state_table
from cnnrecipes.tuning.display.snapshot import Snapshot

HISTORY = (
    "epoch,loss,accuracy,learning_rate,seconds,images_per_second,val_loss,val_accuracy\n1,1,0.5,0.1,1,9,1,0.4321\n"
)


def running_search(folder):
    trials = [*many_trials(12), trial(13, {"optimizer.learning_rate": 0.1}, None, "running", epochs=0, seconds=0.0)]
    search = search_with(folder, trials)
    (folder / "trials" / "0013").mkdir()
    (folder / "trials" / "0013" / "history.csv").write_text(HISTORY)
    return search


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_table_fits_the_terminal_and_names_what_is_running(tmp_path, columns):
    view = Snapshot.of(running_search(tmp_path / "search"))
    text = io.StringIO()
    Console(file=text, width=columns).print(state_table(view, columns))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[1].split()[:4] == ["13", "running", "1", "43.21%"]
    assert lines[2].split()[:2] == [str(view.best), "best"]
    assert lines[-1].startswith("12 of 20 trials, best")
    assert ("learning_rate=0.1" in lines[1]) == (columns >= 80)
    if columns >= 80:
        assert lines[-1].endswith("about 80 s left for the trials")  # 8 trials of 10 s


def test_table_is_shown_below_the_lines_and_removed(tmp_path):
    search, text = running_search(tmp_path / "search"), io.StringIO()
    console = Console(file=text, force_terminal=True, width=100, height=40, color_system=None)
    with live_table(search, True, console):
        deadline = time.monotonic() + 20
        while "running" not in text.getvalue() and time.monotonic() < deadline:
            time.sleep(0.05)
        console.print("trial 12: done")
        time.sleep(0.2)
        during = Screen(100)
        during.feed(text.getvalue().replace("\n", "\r\n"))
    after = Screen(100)
    after.feed(text.getvalue().replace("\n", "\r\n"))
    assert any("running" in line for line in during.text())
    assert after.text() == ["trial 12: done"]


@pytest.mark.parametrize("show", [True, False])
def test_nothing_is_shown_without_a_terminal_or_when_quiet(tmp_path, show):
    text = io.StringIO()
    with live_table(running_search(tmp_path / "search"), show, Console(file=text, force_terminal=not show)):
        pass
    assert text.getvalue() == ""

"""Processes of a search: they pass on their errors, and end with their parent, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cnnrecipes import errors
from cnnrecipes.tuning.child_process import run

TESTS = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(TESTS.parent)]))


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ("DataError", errors.DataError, "^no folder '/data'; give another$"),
        ("KeyError", errors.TrainingError, "the process of trial 3 ended with an error: KeyError: 'image'"),
    ],
)
def test_error_of_a_process_is_raised_here(tmp_path, what, error, message):
    ended = run("small_child", str(tmp_path), what)
    with pytest.raises(error, match=message):
        ended.check("trial 3")


def test_killed_process_is_told_from_one_that_ends_by_itself(tmp_path):
    ended = run("small_child", str(tmp_path), "kill")
    assert ended.killed_by == "SIGKILL"
    ended.check("trial 3")  # not an error of the search
    assert run("small_child", str(tmp_path), "end").status == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_process_is_asked_to_end_when_its_parent_is_stopped_or_killed(tmp_path, number):
    code = f"from cnnrecipes.tuning.child_process import run; run('small_child', {str(tmp_path)!r}, 'wait')"
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    wait_for(tmp_path / "started")
    parent.send_signal(number)
    assert parent.wait(20) != 0
    wait_for(tmp_path / "stopped")


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path.name}"
        time.sleep(0.02)

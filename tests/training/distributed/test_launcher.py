"""The launcher of several worker processes on one machine: signal handling."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

WORKER = """
import pathlib, signal, sys, time
def stopped(number, frame):
    print("saved", flush=True)
    sys.exit(130)
signal.signal(signal.SIGTERM, stopped)
signal.signal(signal.SIGINT, stopped)
pathlib.Path(sys.argv[1], str(time.time_ns())).touch()
time.sleep(60)
"""
STUCK = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as in a collective operation, where TensorFlow lets no handler run
pathlib.Path(sys.argv[1], str(time.time_ns())).touch()
time.sleep(60)
"""
LAUNCH = """
import sys
from cnnrecipes.training.distributed import launcher
sys.executable = sys.argv[1]
launcher._SAVING, launcher._GRACE = map(float, sys.argv[3:])
print("status", launcher.launch([sys.argv[2]], workers=2))
"""


def launched(tmp_path, worker: str, saving: float = 300, grace: float = 20) -> subprocess.Popen:
    """Start the launcher with two processes of a program in place of workers, and wait until they run."""
    python, started = tmp_path / "python", tmp_path / "started"
    started.mkdir()
    (tmp_path / "worker.py").write_text(worker)
    # Replaces `python -m cnnrecipes FOLDER`.
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/worker.py "$3"\n')
    python.chmod(0o755)
    command = [sys.executable, "-c", LAUNCH, str(python), str(started), str(saving), str(grace)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    while len(list(started.iterdir())) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_is_forwarded_to_all_workers_once(tmp_path, number):
    """A scheduler signals the launcher only; the workers must save a checkpoint and exit."""
    process = launched(tmp_path, WORKER)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert sorted(output.splitlines()) == ["[1] saved", "[2] saved", "status 130"]


@pytest.mark.parametrize(("signals", "saving", "grace"), [(1, 0.5, 300), (2, 300, 0.5)])
def test_worker_that_ignores_sigterm_is_killed_after_its_grace_time(tmp_path, signals, saving, grace):
    """A worker stuck in a collective operation ignores SIGTERM; after a second one there is less time."""
    process = launched(tmp_path, STUCK, saving, grace)
    for _ in range(signals):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
    output, _ = process.communicate(timeout=30)
    assert output.splitlines() == ["killed, since they did not end in time: workers 1, 2", "status -9"]

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
LAUNCH = """
import sys
from cnnrecipes.training.distributed import launcher
sys.executable = sys.argv[1]
print("status", launcher.launch([sys.argv[2]], workers=2))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_is_forwarded_to_all_workers_once(tmp_path, number):
    """A scheduler signals the launcher only; the workers must save a checkpoint and exit."""
    python, started = tmp_path / "python", tmp_path / "started"
    started.mkdir()
    (tmp_path / "worker.py").write_text(WORKER)
    # Replaces `python -m cnnrecipes FOLDER`.
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/worker.py "$3"\n')
    python.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(python), str(started)], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    while len(list(started.iterdir())) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert sorted(output.splitlines()) == ["[1] saved", "[2] saved", "status 130"]

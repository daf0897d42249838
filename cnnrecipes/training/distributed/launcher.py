"""Launcher of several workers on one machine: one process per worker, with its index in TF_CONFIG."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO

from cnnrecipes.errors import TrainingError

_GRACE = 20.0  # seconds to end by themselves when another worker has failed, or after a second signal
_SAVING = 300.0  # seconds to save and end after a first SIGTERM; a worker may be stuck in a collective operation


def launch(arguments: Sequence[str], workers: int = 2, threads: int | None = None) -> int:
    """Run `cnnrecipes <arguments>` in `workers` processes that train together; return the first nonzero status, or 0.

    If one fails, the others are stopped, since they cannot continue without it. Ctrl-C and SIGTERM are sent to all;
    those that have not ended 5 minutes after SIGTERM, or 20 seconds after a second signal, are killed.

    Args:
        arguments: arguments of the command, for example ["fit", "resnet8_digits"].
        workers: number of processes, each on a free port of this machine.
        threads: TensorFlow's threads in each process; None: one per core of the machine.

    Raises:
        TrainingError: no command, or no workers.
    """
    if not arguments:
        raise TrainingError("launch needs a command, for example `cnnrecipes launch --workers 2 fit resnet8_digits`")
    if workers < 1:
        raise TrainingError(f"{workers} workers cannot train; give at least 1")
    addresses = [f"localhost:{port}" for port in _free_ports(workers)]
    processes, readers = [], []
    for index in range(workers):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
        if threads:
            environment |= {"TF_NUM_INTRAOP_THREADS": str(threads), "TF_NUM_INTEROP_THREADS": str(threads)}
        process = subprocess.Popen(
            [sys.executable, "-m", "cnnrecipes", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a terminal's Ctrl-C comes to them from here alone
        )
        processes.append(process)
        readers.append(threading.Thread(target=_tell, args=(process.stdout, f"[{index + 1}] " if workers > 1 else "")))
        readers[-1].start()

    team = _Team(processes)
    before = {number: signal.signal(number, team.stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        status = team.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for reader in readers:
        reader.join()
    return status


class _Team:
    """The worker processes, and the time at which those that still run are killed."""

    def __init__(self, processes: Sequence[subprocess.Popen]):
        self.processes = processes
        self.asked = False  # a signal was sent to them
        self.deadline = math.inf

    def stop(self, number: int, frame: object = None) -> None:
        """Send a signal to all: with the first they save and end, with the second they have no time to."""
        self._send(number)
        # At a terminal Ctrl-C can be repeated; a scheduler may send SIGTERM once.
        first = math.inf if number == signal.SIGINT else _SAVING
        self.deadline = min(self.deadline, time.monotonic() + (_GRACE if self.asked else first))
        self.asked = True

    def wait(self) -> int:
        """Wait until all processes have ended; return the first nonzero exit status, or 0."""
        while self._running():
            time.sleep(0.1)
            if math.isinf(self.deadline) and any(process.poll() not in (None, 0) for process in self.processes):
                self.deadline = time.monotonic() + _GRACE
            if time.monotonic() > self.deadline and (running := self._running()):
                numbers = ", ".join(str(place + 1) for place in running)
                print(f"killed, since they did not end in time: workers {numbers}", flush=True)
                self._send(signal.SIGKILL)
                self.deadline = math.inf
        return next((process.returncode for process in self.processes if process.returncode), 0)

    def _running(self) -> list[int]:
        return [place for place, process in enumerate(self.processes) if process.poll() is None]

    def _send(self, number: int) -> None:
        for place in self._running():
            self.processes[place].send_signal(number)


def _tell(lines: IO[str], prefix: str) -> None:
    for line in lines:
        print(f"{prefix}{line}", end="", flush=True)


def _free_ports(count: int) -> list[int]:
    """Return ports of this machine that are not in use, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()

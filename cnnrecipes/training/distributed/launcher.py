"""Launcher of several workers on one machine: one process per worker, with its index in TF_CONFIG."""

from __future__ import annotations

import json
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

_GRACE = 20.0  # seconds that the others have to end by themselves when one has failed


def launch(arguments: Sequence[str], workers: int = 2, threads: int | None = None) -> int:
    """Run `cnnrecipes <arguments>` in `workers` processes that train together; return the first nonzero status, or 0.

    If one fails, the others are stopped, since they cannot continue without it. Ctrl-C and SIGTERM are sent to all.

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

    def pass_on(number: int, frame: object) -> None:
        _send(processes, number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        status = _wait(processes)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for reader in readers:
        reader.join()
    return status


def _wait(processes: list[subprocess.Popen]) -> int:
    """Wait until all processes have ended; return the first nonzero exit status, or 0.

    When one has failed, the others get `_GRACE` seconds to end, then SIGKILL.
    """
    deadline, asked = None, False
    while any(process.poll() is None for process in processes):
        try:
            time.sleep(0.1)
        except KeyboardInterrupt:
            # They save and end, however long that takes; the second time they have no time to.
            _send(processes, signal.SIGINT)
            deadline, asked = time.monotonic() + _GRACE if asked else deadline, True
        if deadline is None and any(process.poll() not in (None, 0) for process in processes):
            deadline = time.monotonic() + _GRACE
        if deadline is not None and time.monotonic() > deadline:
            _send(processes, signal.SIGKILL)
    return next((process.returncode for process in processes if process.returncode), 0)


def _send(processes: Sequence[subprocess.Popen], number: int) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


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

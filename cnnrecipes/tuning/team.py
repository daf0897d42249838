"""The worker processes of a search on one machine, with a GPU or a share of the CPU's cores each."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import IO

from cnnrecipes._support.cores import available_cores
from cnnrecipes.errors import TrainingError
from cnnrecipes.tuning.chief import Chief
from cnnrecipes.tuning.child_process import INTERRUPTED, start, stop
from cnnrecipes.tuning.oracles import number_of
from cnnrecipes.tuning.records import FAILED, read_trial
from cnnrecipes.tuning.roles import ID
from cnnrecipes.tuning.search import Search

_DEATHS = 2  # of its worker, after which a trial has failed
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


class Team:
    """The worker processes of a search on this machine.

    Args:
        search: the search.
        chief: hands out the trials.
        address: variables that name the chief.
        workers: number of processes.
        say: receives their lines.
        isolate: each runs its trials in other processes.
    """

    def __init__(
        self,
        search: Search,
        chief: Chief,
        address: Mapping[str, str],
        workers: int,
        say: Callable[[str], None],
        *,
        isolate: bool = False,
    ):
        self.search, self.chief, self.address, self.say, self.isolate = search, chief, address, say, isolate
        self.devices = device_settings(workers)
        self.processes: dict[int, subprocess.Popen[str]] = {}
        self.started: list[subprocess.Popen[str]] = []  # with those that were replaced
        self.readers: list[threading.Thread] = []
        self.last: dict[int, deque[str]] = {}  # the last line of each
        self.deaths: Counter[str] = Counter()

    def start(self) -> None:
        """Start all workers."""
        for index in range(len(self.devices)):
            self._start(index)

    @property
    def running(self) -> bool:
        """True while a worker is running, or is to be replaced."""
        return any(process.poll() != 0 for process in self.processes.values())

    def replace_dead(self) -> None:
        """Replace workers that were killed. Raises TrainingError for one that ended with an error."""
        for index, process in list(self.processes.items()):
            status = process.poll()
            if status is None or status == 0:
                continue
            if status > 0 and status != INTERRUPTED:
                self._join()
                raise TrainingError(
                    f"worker {index + 1} ended with an error ({''.join(self.last[index]) or status}); `cnnrecipes tune "
                    f"--resume {self.search.folder}` continues the search"
                )
            if status == INTERRUPTED:
                self.say(f"worker {index + 1} was interrupted; another one resumes its trial")
            else:
                self._note_death(index, -status)
            self._start(index)

    def stop(self) -> None:
        """Let the workers write a checkpoint and end; kill those that do not."""
        stop(self.processes.values())

    def close(self) -> None:
        """Close the pipes of processes that have ended."""
        self._join()
        for process in self.started:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def _join(self) -> None:
        for reader in self.readers:
            reader.join(1)

    def _start(self, index: int) -> None:
        process = start(
            "cnnrecipes.tuning.worker",
            str(self.search.folder),
            *(["--isolate"] if self.isolate else []),
            environment={**self.address, **self.devices[index], ID: _name(index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes[index] = process
        self.started.append(process)
        self.last[index] = deque(maxlen=1)
        assert process.stdout is not None
        arguments = (process.stdout, f"[{index + 1}] ", self.say, self.last[index])
        self.readers.append(threading.Thread(target=_pass_on, args=arguments, daemon=True))
        self.readers[-1].start()

    def _note_death(self, index: int, number: int) -> None:
        """Report a killed worker; mark a trial as failed whose workers were killed `_DEATHS` times."""
        cause = signal.Signals(number).name
        trial = next((one for one, worker in self.chief.running.items() if worker == _name(index)), None)
        if trial is None:
            self.deaths[_name(index)] += 1
            if self.deaths[_name(index)] > _DEATHS:
                raise TrainingError(
                    f"worker {index + 1} was killed by {cause} {_DEATHS + 1} times while it ran no trial; memory may "
                    f"have run out: `cnnrecipes tune --resume {self.search.folder}` with fewer --workers continues the "
                    "search"
                )
            self.say(f"worker {index + 1} was killed by {cause}; another one replaces it")
            return
        self.deaths[trial] += 1
        self.say(f"worker {index + 1} was killed by {cause} in trial {number_of(trial)}; another one resumes it")
        record = read_trial(self.search.folder, number_of(trial))
        if self.deaths[trial] >= _DEATHS and record is not None and not record.over:
            reason = f"its process was killed by {cause} {_DEATHS} times; memory may have run out"
            replace(record, status=FAILED, reason=reason).write(self.search.folder)


def device_settings(workers: int, environment: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    """Return the environment variables of each worker: a GPU of its own, or a part of one; without GPUs some cores.

    TensorFlow's threads would otherwise be as many as the machine has cores in each worker. Their number decides the
    order of sums, so that a trial is bit-equal only to a training with as many; a variable that is set holds.
    """
    environment = os.environ if environment is None else environment
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    gpus = [one.strip() for one in visible.split(",") if one.strip()] if visible is not None else _gpus()
    if not gpus or gpus == ["-1"]:
        threads = str(max(available_cores() // workers, 1))
        shares = {name: threads for name in _THREADS if name not in environment}
        return [shares for _ in range(workers)]
    shared = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"} if workers > len(gpus) else {}
    return [{"CUDA_VISIBLE_DEVICES": gpus[index % len(gpus)], **shared} for index in range(workers)]


def has_gpus() -> bool:
    """Return True if workers get GPUs, found without TensorFlow, which would take their memory."""
    return "CUDA_VISIBLE_DEVICES" in device_settings(1)[0]


def _gpus() -> list[str]:
    """Return the numbers of this machine's NVIDIA GPUs."""
    if shutil.which("nvidia-smi") is None:
        return []
    found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    count = sum(line.startswith("GPU ") for line in found.stdout.splitlines()) if found.returncode == 0 else 0
    return [str(index) for index in range(count)]


def _name(index: int) -> str:
    return f"worker{index + 1}"


def _pass_on(lines: IO[str], prefix: str, say: Callable[[str], None], last: deque[str]) -> None:
    for line in lines:
        last.append(line.strip())
        say(f"{prefix}{line.rstrip()}")

"""Searches of several processes: a chief that has the oracle, and workers that run trials at the same time.

The workers write their trials into the folder of the search, which all share; the chief hands out the values. A worker
that dies is replaced by one of its name, which resumes its trial.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import IO

from cnnrecipes.errors import Interrupted, TrainingError
from cnnrecipes.tuning.chief import Chief, Client
from cnnrecipes.tuning.ending import retrain, unfinished_retrainings
from cnnrecipes.tuning.kept_oracle import KeptOracle
from cnnrecipes.tuning.loop import run_trials
from cnnrecipes.tuning.open_data import OpenData
from cnnrecipes.tuning.oracles import number_of
from cnnrecipes.tuning.records import FAILED, read_trial
from cnnrecipes.tuning.roles import ID, IP, PORT, Role, chief_timeout
from cnnrecipes.tuning.search import Search
from cnnrecipes.tuning.trial_run import TrialRunner

INTERRUPTED = 75  # exit status of a worker that was interrupted and has written a checkpoint
_POLL = 0.2  # seconds
_REMIND = 60.0  # seconds between two messages that a trial is waited for
_DEATHS = 2  # of its worker, after which a trial has failed
_GRACE = 60.0  # seconds that workers have to write a checkpoint
_SEARCHED = "searched"  # key of search.json: number of trials after which the workers train the best ones again


def serve(search: Search, oracle: KeptOracle, address: str, data: OpenData, say: Callable[[str], None]) -> None:
    """Serve the oracle until all trials are over, and take part in the trainings after the search.

    Raises:
        TrainingError: the port is taken.
    """
    with Chief(oracle, address) as chief:
        say(f"the chief waits for workers at {address}")
        attend(search, chief, data, say)


def attend(search: Search, chief: Chief, data: OpenData, say: Callable[[str], None]) -> None:
    """Wait until all trials are over, and take part in the trainings after the search until these are."""
    reminded = time.monotonic()
    while not chief.searched:
        time.sleep(_POLL)
        if time.monotonic() - reminded > _REMIND and chief.running:
            reminded = time.monotonic()
            what = ", ".join(f"trial {number_of(one)} of {worker}" for one, worker in chief.running.items())
            say(f"running: {what}; a worker that has died is replaced by one with its {ID}")
    _mark_searched(search)
    while unfinished_retrainings(search):
        retrain(search, data, say)
        time.sleep(_POLL)


def work(search: Search, role: Role, data: OpenData, say: Callable[[str], None], *, isolate: bool = False) -> None:
    """Run trials that the chief hands out, then take part in the trainings after the search.

    Raises:
        TrainingError: the chief cannot be reached.
        Interrupted: Ctrl-C or SIGTERM.
    """
    seconds = chief_timeout()
    client = Client(role, seconds)
    runner = TrialRunner(search.recipe, search.folder, data)
    run_trials(search, client, runner, say, worker=role.name, isolate=isolate)
    checked = time.monotonic()
    while not is_searched(search):
        time.sleep(_POLL)
        if time.monotonic() - checked > seconds / 4 and not is_searched(search):
            client.check()
            checked = time.monotonic()
    retrain(search, data, say)


def is_searched(search: Search) -> bool:
    """Return True if all trials are over."""
    return search.document.get(_SEARCHED) == search.settings.limit


def launch(search: Search, oracle: KeptOracle, workers: int, say: Callable[[str], None], *, isolate: bool) -> None:
    """Run a search in so many processes on this machine, with a GPU each if there are any.

    Raises:
        TrainingError: a worker ended with an error.
        Interrupted: Ctrl-C or SIGTERM; all workers have written a checkpoint.
    """
    with Chief(oracle, "localhost:0") as chief, _terminated_as_interrupted():
        address = {IP: "localhost", PORT: str(chief.port)}
        team = _Team(search, chief, address, workers, say, isolate)
        try:
            team.start()
            while team.running:
                time.sleep(_POLL)
                team.replace_dead()
                if chief.searched and not is_searched(search):
                    _mark_searched(search)
        except BaseException:
            team.stop()
            raise
        finally:
            team.close()


class _Team:
    """The worker processes of a search on this machine."""

    def __init__(
        self,
        search: Search,
        chief: Chief,
        address: Mapping[str, str],
        workers: int,
        say: Callable[[str], None],
        isolate: bool,
    ):
        self.search, self.chief, self.address, self.say, self.isolate = search, chief, address, say, isolate
        self.devices = device_settings(workers)
        self.processes: dict[int, subprocess.Popen[str]] = {}
        self.started: list[subprocess.Popen[str]] = []  # with those that were replaced
        self.readers: list[threading.Thread] = []
        self.deaths: Counter[str] = Counter()

    def start(self) -> None:
        """Start all workers."""
        for index in range(len(self.devices)):
            self._start(index)

    @property
    def running(self) -> bool:
        """True while a worker is running."""
        return any(process.poll() is None for process in self.processes.values()) or any(
            process.returncode for process in self.processes.values()
        )

    def replace_dead(self) -> None:
        """Replace workers that were killed. Raises TrainingError for one that ended with an error."""
        for index, process in list(self.processes.items()):
            status = process.poll()
            if status is None or status == 0:
                continue
            if status == INTERRUPTED:
                self.say(f"worker {index + 1} was interrupted; another one resumes its trial")
                self._start(index)
                continue
            if status > 0:
                raise TrainingError(
                    f"worker {index + 1} ended with status {status}; its output says why. `cnnrecipes tune --resume "
                    f"{self.search.folder}` continues the search"
                )
            self._note_death(index, -status)
            self._start(index)

    def stop(self) -> None:
        """Let the workers write a checkpoint and end; kill those that do not."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        for process in self.processes.values():
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                process.kill()
        for reader in self.readers:
            reader.join(1)

    def close(self) -> None:
        """Close the pipes of processes that have ended."""
        for reader in self.readers:
            reader.join(1)
        for process in self.started:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def _start(self, index: int) -> None:
        command = [sys.executable, "-m", "cnnrecipes.tuning.worker", str(self.search.folder)]
        process = subprocess.Popen(
            [*command, *(["--isolate"] if self.isolate else [])],
            env={**os.environ, **self.address, **self.devices[index], ID: _name(index)},
            stdin=subprocess.PIPE,  # it closes with this process, and the worker ends then
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a terminal's Ctrl-C comes to it from here alone
        )
        self.processes[index] = process
        self.started.append(process)
        assert process.stdout is not None
        self.readers.append(
            threading.Thread(target=_tell, args=(process.stdout, f"[{index + 1}] ", self.say), daemon=True)
        )
        self.readers[-1].start()

    def _note_death(self, index: int, number: int) -> None:
        """Report a killed worker; a trial whose workers are killed again and again has failed."""
        cause = signal.Signals(number).name
        trial = next((one for one, worker in self.chief.running.items() if worker == _name(index)), None)
        if trial is None:
            self.deaths[_name(index)] += 1
            if self.deaths[_name(index)] > _DEATHS:
                raise TrainingError(f"worker {index + 1} was killed by {cause} {_DEATHS + 1} times without a trial")
            self.say(f"worker {index + 1} was killed by {cause}; another one replaces it")
            return
        self.deaths[trial] += 1
        self.say(f"worker {index + 1} was killed by {cause} in trial {number_of(trial)}; another one resumes it")
        record = read_trial(self.search.folder, number_of(trial))
        if self.deaths[trial] >= _DEATHS and record is not None and not record.over:
            reason = f"its process was killed by {cause} {_DEATHS} times; memory may have run out"
            replace(record, status=FAILED, reason=reason).write(self.search.folder)


def device_settings(workers: int, environment: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    """Return the environment variables that give each worker a GPU of its own, or a part of one if there are fewer."""
    environment = os.environ if environment is None else environment
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    gpus = [one.strip() for one in visible.split(",") if one.strip()] if visible is not None else _gpus()
    if not gpus or gpus == ["-1"]:
        return [{} for _ in range(workers)]
    shared = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"} if workers > len(gpus) else {}
    return [{"CUDA_VISIBLE_DEVICES": gpus[index % len(gpus)], **shared} for index in range(workers)]


def has_gpus() -> bool:
    """Return True if workers get GPUs, found without TensorFlow, which would take their memory."""
    return any(device_settings(1)[0])


def end_with_parent() -> None:
    """End this process with a checkpoint when its standard input closes: when its parent has died."""

    def wait() -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def _gpus() -> list[str]:
    """Return the numbers of this machine's NVIDIA GPUs."""
    if shutil.which("nvidia-smi") is None:
        return []
    found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    count = sum(line.startswith("GPU ") for line in found.stdout.splitlines()) if found.returncode == 0 else 0
    return [str(index) for index in range(count)]


def _mark_searched(search: Search) -> None:
    search.write({**search.document, _SEARCHED: search.settings.limit})


def _name(index: int) -> str:
    return f"worker{index + 1}"


def _tell(lines: IO[str], prefix: str, say: Callable[[str], None]) -> None:
    for line in lines:
        say(f"{prefix}{line.rstrip()}")


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Raise Interrupted for SIGTERM in the `with` block; without effect outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise Interrupted(f"stopped by {signal.Signals(number).name}")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

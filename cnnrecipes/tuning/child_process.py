"""Processes of a search that end with it: with a checkpoint when it is interrupted, and also when it is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cnnrecipes import errors
from cnnrecipes.errors import CNNRecipesError, Interrupted, TrainingError, one_line

INTERRUPTED = 75  # exit status of a process that was interrupted and has written a checkpoint (EX_TEMPFAIL)
FAILED = 70  # exit status after an error that ends the search; its class and message are the last line (EX_SOFTWARE)
_GRACE = 60.0  # seconds that a process has to write a checkpoint
_STOPS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Ended:
    """Exit status of a process, negative for a signal, and the last line of its output."""

    status: int
    last: str

    @property
    def killed_by(self) -> str | None:
        """The name of the signal that killed it; None if it ended by itself."""
        return signal.Signals(-self.status).name if self.status < 0 else None

    def check(self, what: str) -> None:
        """Raise the error of a process that ended with one.

        Raises:
            Interrupted: it was interrupted, or asked to end before it could write a checkpoint.
            CNNRecipesError: the error of the process, or TrainingError if it was another one.
        """
        if self.status == INTERRUPTED or -self.status in _STOPS:
            raise Interrupted(f"the process of {what} was stopped")
        if self.status > 0:
            name, _, message = self.last.partition(": ")
            kind = getattr(errors, name, None)
            if self.status == FAILED and isinstance(kind, type) and issubclass(kind, CNNRecipesError):
                raise kind(message)
            raise TrainingError(f"the process of {what} ended with an error: {self.last or self.status}")


def start(module: str, *arguments: str, environment: Mapping[str, str] | None = None, **pipes: Any) -> subprocess.Popen:
    """Start a module of this package in a process; `end_with_parent` in it ends it with this one.

    Args:
        module: its name.
        arguments: command line arguments.
        environment: variables to set.
        pipes: stdout, stderr and text, as of `subprocess.Popen`.
    """
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.PIPE,  # it closes with this process, and the other one ends then
        start_new_session=True,  # a terminal's Ctrl-C comes to it from here alone
        **pipes,
    )


def run(module: str, *arguments: str) -> Ended:
    """Run a module in a process until it ends; Ctrl-C and SIGTERM of this process end it with a checkpoint.

    Raises:
        Interrupted: SIGTERM.
        KeyboardInterrupt: Ctrl-C.
    """
    with tempfile.TemporaryFile() as output, terminated_as_interrupted():
        process = start(module, *arguments, stdout=output, stderr=subprocess.STDOUT)
        try:
            status = process.wait()
        except BaseException:
            stop([process])
            raise
        finally:
            if process.stdin is not None:
                process.stdin.close()
        output.seek(0)
        lines = output.read().decode(errors="replace").strip().splitlines()
        return Ended(status, lines[-1].strip() if lines else "")


def stop(processes: Iterable[subprocess.Popen]) -> None:
    """Let processes write a checkpoint and end; kill those that do not."""
    processes = [one for one in processes if one.poll() is None]
    for process in processes:
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    for process in processes:
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
            process.wait()


def end_with_parent() -> None:
    """End this process with a checkpoint when its standard input closes: when its parent has died."""

    def wait() -> None:
        # Not sys.stdin, whose lock would be held when the interpreter ends.
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def status_of(action: Callable[[], None]) -> int:
    """Run the action of a process, print its error, and return the exit status."""
    try:
        action()
    except (Interrupted, KeyboardInterrupt) as error:
        print(one_line(error), file=sys.stderr, flush=True)
        return INTERRUPTED
    except CNNRecipesError as error:
        print(f"{type(error).__name__}: {one_line(error)}", file=sys.stderr, flush=True)
        return FAILED
    except Exception as error:  # printed, and its class and message once more as the last line
        traceback.print_exc()
        print(f"{type(error).__name__}: {one_line(error)}", file=sys.stderr, flush=True)
        return FAILED
    return 0


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Raise Interrupted for SIGTERM in the `with` block; without effect outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted(f"stopped by {signal.Signals(number).name}")

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""Locks between processes: a lock file that one process at a time holds, and marks of files in use by readers."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

if sys.platform != "win32":
    import fcntl

NAME = ".lock"  # of the lock file in a folder


@contextlib.contextmanager
def locked(path: Path, seconds: float = 0.0) -> Iterator[bool]:
    """Hold a lock file in the `with` block; yields False if another process still holds it after `seconds`.

    Yields True without a lock on file systems that have none (some network storage): the work is possible there, but
    two processes are not kept apart.

    Args:
        path: of the lock file, whose folder exists.
        seconds: to wait for the other process; -1: without a limit.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        yield False
        return
    except (NotImplementedError, OSError):
        pass
    try:
        yield True
    finally:
        lock.release()


def marked_in_use(path: Path) -> IO[bytes]:
    """Open a file with a shared lock: `is_in_use` is True in all processes until the returned file is closed.

    Without an effect on Windows, where an open file cannot be deleted, and on file systems without locks.

    Raises:
        OSError: the file cannot be opened.
    """
    file = open(path, "rb")  # noqa: SIM115
    with contextlib.suppress(OSError):
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_SH)
    return file


def is_in_use(path: Path) -> bool:
    """Return True if a process, also this one, has marked a file as in use.

    Raises:
        OSError: the file cannot be opened for writing, without which a network file system does not tell.
    """
    with open(path, "r+b") as file:
        try:
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # no locks
            pass
    return False

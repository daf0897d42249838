"""Locks between processes: a lock file that one process at a time holds, on file systems that have locks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

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

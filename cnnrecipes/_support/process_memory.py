"""Memory of this process and of this machine, in bytes."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

_STATUS, _MEMINFO = Path("/proc/self/status"), Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def peak_resident_memory() -> int:
    """Return the largest resident memory of this process, since `reset_peak` where the system can reset it.

    Not `ru_maxrss` on Linux: a process inherits it from the one that started it.
    """
    if _STATUS.exists():
        return _field(_STATUS, "VmHWM")
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def resident_memory() -> int:
    """Return the resident memory of this process; the peak where the system does not tell."""
    return _field(_STATUS, "VmRSS") if _STATUS.exists() else peak_resident_memory()


def reset_peak() -> None:
    """Start a new measurement of the peak, where the system allows it (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def available_memory() -> int | None:
    """Return the memory that new processes can use, within the limit of a container; None if it is unknown."""
    if not _MEMINFO.exists():
        return None
    free = _field(_MEMINFO, "MemAvailable")
    with contextlib.suppress(OSError, ValueError):  # no control group, or no limit: "max"
        limit = int((_CGROUP / "memory.max").read_text())
        free = min(free, limit - int((_CGROUP / "memory.current").read_text()))
    return max(free, 0)


def _field(path: Path, name: str) -> int:
    """Return a field of a file of /proc, given there in kB, in bytes."""
    line = next(line for line in path.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024

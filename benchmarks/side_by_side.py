"""Parts that the benchmark programs share: a contender in a fresh process, and what the machine is."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any


def run(program: str, contender: str, case: str, torch_python: str | None) -> Any:
    """One round: `program --worker contender --case case` in a fresh process, whose last line is JSON."""
    python = torch_python if contender == "torch" else sys.executable
    command = [python, program, "--worker", contender, "--case", case]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if result.returncode:
        sys.exit(f"{contender} on {case} failed:\n{result.stderr[-2000:]}")
    return json.loads(result.stdout.splitlines()[-1])


def import_for(contender: str) -> None:
    """Import TensorFlow as the contender's user would: cnnrecipes, imported first, turns oneDNN on."""
    __import__("tensorflow" if contender == "keras" else "cnnrecipes")


def machine(rounds: int) -> str:
    """Processor, versions and rounds, for above a table."""
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("tensorflow", "keras"))
    return (
        f"{processor()}, {os.cpu_count()} cores; {versions}; Python {platform.python_version()}; "
        f"{rounds} round{'s' if rounds > 1 else ''}"
    )


def processor() -> str:
    """The processor's own name where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()

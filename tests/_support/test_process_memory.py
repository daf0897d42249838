"""Memory of the process and of the machine."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from cnnrecipes._support import process_memory


def test_peak_is_that_of_this_process_not_of_its_parent():
    """`ru_maxrss` would be the parent's."""
    held = np.ones(2**28, np.uint8)  # 256 MiB, written
    code = "from cnnrecipes._support.process_memory import peak_resident_memory as p; print(p())"
    child = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert child < held.nbytes < process_memory.peak_resident_memory()


def test_memory_that_is_written_is_resident():
    process_memory.reset_peak()
    before = process_memory.resident_memory()
    held = np.ones(2**27, np.uint8)
    assert process_memory.resident_memory() > before + 0.9 * held.nbytes
    del held
    assert process_memory.peak_resident_memory() > before + 0.9 * 2**27


def test_available_memory_is_plausible():
    free = process_memory.available_memory()
    assert free is None or 2**20 < free < 2**50

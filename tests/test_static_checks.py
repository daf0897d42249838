"""Static checks: ruff on the whole repository, mypy on the package; `make lint` runs the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run_tool(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("arguments", [("check",), ("format", "--check")], ids=" ".join)
def test_ruff_reports_nothing(arguments):
    run_tool("ruff", *arguments, "--quiet", ".")


def test_mypy_reports_nothing(pytestconfig):
    # In the cache folder of pytest: 20 s at first, 2 s after small changes.
    run_tool("mypy", "--cache-dir", str(pytestconfig.cache.mkdir("mypy")))


def test_package_declares_its_types():
    assert (ROOT / "cnnrecipes" / "py.typed").is_file()
    assert "py.typed" in (ROOT / "setup.py").read_text(encoding="utf-8")

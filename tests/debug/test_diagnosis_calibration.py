"""The confusion tables of causes and verdicts, re-derived from the stored runs of benchmarks/diagnosis.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "debugging.md"


@pytest.fixture(scope="module")
def benchmark():
    """The module benchmarks/diagnosis.py."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        spec = importlib.util.spec_from_file_location("diagnosis_benchmark", ROOT / "benchmarks" / "diagnosis.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return module


@pytest.fixture(scope="module")
def rows(benchmark):
    return benchmark.verdicts()


def test_all_runs_are_stored_and_small(benchmark):
    files = {path.stem: path.stat().st_size for path in benchmark.RUNS.glob("*.json")}
    assert files.keys() == benchmark.cases().keys()
    assert sum(files.values()) < 500_000


def test_held_out_runs_are_diagnosed_right(rows):
    held_out = [row for row in rows if row["set"] == "held_out"]
    assert len(held_out) >= 30
    right = sum(row["right"] for row in held_out)
    assert right >= 0.9 * len(held_out), [row for row in held_out if not row["right"]]


def test_no_healthy_run_is_called_ill(rows):
    assert {row["verdict"] for row in rows if row["truth"] == "healthy"} == {"healthy"}


def test_live_diagnosis_is_silent_on_healthy_runs(benchmark):
    healthy = [row for row in benchmark.live_verdicts() if row["truth"] == "healthy"]
    assert len(healthy) >= 19
    assert [row["name"] for row in healthy if row["lines"]] == []


def test_live_table_of_the_page_is_up_to_date(benchmark):
    rows = [row for row in benchmark.live_verdicts() if row["set"] == "held_out"]
    assert benchmark.live_table(rows) in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("measured", [True, False])
def test_tables_of_the_page_are_up_to_date(benchmark, measured):
    rows = [row for row in benchmark.verdicts(measured=measured) if row["set"] == "held_out"]
    assert benchmark.table(rows) in PAGE.read_text(encoding="utf-8")

"""The Python block of docs/report.md."""

from __future__ import annotations

import shutil

from doc_blocks import run_block
from small_run import predictions, write_run

import cnnrecipes as cr


def test_python_block_runs(digits_run, tmp_path):
    folder = shutil.copytree(digits_run.folder, tmp_path / "run")
    runs = [str(write_run(tmp_path / name, kept=[predictions("validation")]).folder) for name in ("a", "b")]
    page = tmp_path / "comparison.html"
    replace = {
        '"runs/2026-11-29_photos_1"': repr(str(folder)),
        '["runs/a", "runs/b"]': repr(runs),
        '"comparison.html"': repr(str(page)),
    }
    run_block("report.md", "In Python", replace, cr=cr)
    assert page.is_file()

"""The command report."""

from __future__ import annotations

import json

from small_run import predictions, write_run


def test_report_of_a_run(run_cli, tmp_path):
    run = write_run(tmp_path / "run", kept=[predictions()])
    status, out, _ = run_cli("report", str(run.folder), "--no-pictures", "--quiet")
    assert (status, out) == (0, f"{run.folder}/report.html\n")
    status, out, _ = run_cli("report", str(run.folder), "-o", str(tmp_path / "a.html"), "--no-pictures", "--json")
    assert json.loads(out) == {"page": str(tmp_path / "a.html")}
    status, _, error = run_cli("report", str(run.folder), "-o", str(tmp_path / "a.html"))
    assert status == 2
    assert "exists already" in error


def test_report_of_two_runs_compares(run_cli, tmp_path):
    runs = [str(write_run(tmp_path / name, kept=[predictions("validation")]).folder) for name in ("a", "b")]
    assert run_cli("report", *runs)[:2] == (0, "wrote comparison.html\n")
    assert "Comparison of a and b" in (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert run_cli("report", *runs, "--quiet")[:2] == (0, "comparison_2.html\n")


def test_wrong_calls_are_errors(run_cli, tmp_path):
    run = str(write_run(tmp_path / "run").folder)
    for arguments, message in (((run, "--split", "test"), "--split is for"), ((run, run), "given twice")):
        status, _, error = run_cli("report", *arguments)
        assert status == 2
        assert message in error

"""The code of docs/explaining.md runs."""

from __future__ import annotations

from doc_blocks import run_block


def test_code_of_the_page_runs(digits_run, capsys):
    names = run_block("explaining.md", "In Python", {'cr.Run.open("runs/...")': "digits_run"}, digits_run=digits_run)
    assert names["heat"].shape == (4, 8, 8)
    assert names["shown"].shape == (8, 8, 3)
    assert names["near"]["file"].str.startswith("train[").all()
    assert "corruption" in capsys.readouterr().out

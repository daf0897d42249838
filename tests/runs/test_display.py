"""`repr` and the notebook representation of a run: folder, accuracy with interval, history, next step."""

from __future__ import annotations

import base64
import json
import re
import shutil

import pandas as pd
import pytest

import cnnrecipes as cr
from cnnrecipes.runs.display import sparkline


def test_finished_run_shows_folder_accuracy_interval_and_history(digits_run):
    shown = repr(digits_run)
    accuracy = digits_run.metrics["test"]["accuracy"]
    low, high = digits_run.metrics["test"]["accuracy_95"]
    assert str(digits_run.folder) in shown
    assert f"accuracy {accuracy:.2%} (n = 359, 95% interval {low:.2%} to {high:.2%})" in shown
    assert re.search(r"val_accuracy [▁▂▃▄▅▆▇█]{6} .* in 6 epochs", shown)
    assert 'run.predict("photo.jpg")' in shown
    assert f"model      resnet8, {digits_run.metrics['parameters']:,} parameters\n" in shown


def test_notebook_shows_accuracy_and_a_plot_of_the_history(digits_run):
    page = digits_run._repr_html_()
    assert f"accuracy {digits_run.metrics['test']['accuracy']:.2%}" in page
    png = base64.b64decode(re.search(r"base64,([^\"]+)", page)[1])
    assert png.startswith(b"\x89PNG")


def test_unfinished_run_shows_its_progress_and_the_resume_call(digits_run, tmp_path):
    for name in ("recipe.toml", "history.csv"):
        shutil.copy(digits_run.folder / name, tmp_path)
    shown = repr(cr.Run.open(tmp_path))
    assert "unfinished, 6 of 6 epochs" in shown
    assert f"cr.resume({str(tmp_path)!r})" in shown
    (tmp_path / "history.csv").unlink()
    assert "unfinished, 0 of 6 epochs" in repr(cr.Run.open(tmp_path))


@pytest.mark.parametrize("damage", ["{", "{}", '{"test": {}}', '{"test": 1}', '{"epoch": 1, "parameters": "a"}'])
def test_damaged_metrics_do_not_break_the_repr(digits_run, tmp_path, damage):
    for name in ("recipe.toml", "history.csv"):
        shutil.copy(digits_run.folder / name, tmp_path)
    (tmp_path / "metrics.json").write_text(damage)
    assert str(tmp_path) in repr(cr.Run.open(tmp_path))
    assert str(tmp_path) in cr.Run.open(tmp_path)._repr_html_()


def test_escape_sequences_and_markup_in_names_are_escaped(digits_run, tmp_path):
    folder = tmp_path / "\x1b[31m<script>"
    folder.mkdir()
    for name in ("recipe.toml", "history.csv"):
        shutil.copy(digits_run.folder / name, folder)
    (folder / "metrics.json").write_text(json.dumps(digits_run.metrics))
    assert "\x1b" not in repr(cr.Run.open(folder))
    assert "<script>" not in cr.Run.open(folder)._repr_html_()


def test_sparkline_spans_the_values_and_averages_long_histories():
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert sparkline([0.3, 0.3]) == "▄▄"
    assert sparkline([]) == ""
    long = sparkline(pd.Series(range(300)).tolist())
    assert len(long) == 30
    assert (long[0], long[-1]) == ("▁", "█")

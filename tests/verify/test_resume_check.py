"""`resume_check`: killed and resumed trainings compared with an uninterrupted one."""

from __future__ import annotations

import json
import shutil

import pytest

import cnnrecipes as cr
from cnnrecipes.recipe import catalog
from cnnrecipes.verify.resume_check import differences, resume_check


def test_resume_is_bit_exact_after_kills_at_random_steps(tmp_path):
    """Kills real processes, as `cnnrecipes resume-check` does."""
    said = []
    recipe = catalog.load("resnet8_digits")
    table = resume_check(recipe.change(**{"train.epochs": 6}), kills=2, workdir=tmp_path, seed=1, say=said.append)
    assert table.equal.tolist() == [True] * 2, said
    assert table.resumed_from.notna().any()
    assert table.weights.nunique() == 1


def test_damaged_metrics_file_raises_a_run_error(digits_run, tmp_path):
    folder = shutil.copytree(digits_run.folder, tmp_path / "run")
    (folder / "metrics.json").write_text('{"epoch": 3, "test": {')
    with pytest.raises(cr.RunError, match=r"cannot read .*metrics\.json"):
        differences(digits_run, cr.Run.open(folder))


def test_differences_name_metrics_and_history(digits_run, tmp_path):
    folder = shutil.copytree(digits_run.folder, tmp_path / "run")
    assert differences(digits_run, cr.Run.open(folder)) == []
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({**metrics, "weights": "0" * 16}))
    history = digits_run.history.assign(seconds=0.0)
    history.assign(loss=1.0).to_csv(folder / "history.csv", index=False)
    assert differences(digits_run, cr.Run.open(folder)) == ["weights", "history"]
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(cr.RunError, match="has no checkpoint to compare"):
        differences(digits_run, cr.Run.open(folder))

"""`resume_check`: killed and resumed trainings compared with an uninterrupted one."""

from __future__ import annotations

import json
import shutil

import pytest

import cnnrecipes as cr
from cnnrecipes.cli import app
from cnnrecipes.verify.resume_check import differences


@pytest.fixture
def check(capfd, monkeypatch):
    """Call the command, which kills a real process after a share of a training's time that the seed draws."""

    def call(seed: int, folder) -> tuple[dict, str]:
        changes = ["train.epochs=20", "model.depths=[1]", "model.widths=[16]", "logging.loggers=[]"]
        options = ["logging.report=off", "--kills", "1", "--seed", str(seed), "--workdir", str(folder), "--json"]
        monkeypatch.setattr("sys.argv", ["cnnrecipes", "resume-check", "resnet8_digits", *changes, *options])
        with pytest.raises(SystemExit) as stopped:
            app.main()
        printed = capfd.readouterr()
        assert not stopped.value.code, printed
        return json.loads(printed.out), printed.err

    return call


def test_resume_is_bit_exact_after_a_kill_at_a_random_step(check, tmp_path):
    # After 79% of the time. Others only if something else delayed the first checkpoint until then.
    for seed in (6, 0, 2):
        folder = tmp_path / str(seed)
        found, said = check(seed, folder)
        (row,) = found["runs"]
        assert (found["kills"], found["equal"], row["equal"]) == (1, 1, True)
        if row["resumed_from"]:
            break
    assert set(row["resumed_from"]) == {"epoch", "step"}
    assert row["killed_after"] > 0
    whole, killed = (next((folder / name).iterdir()) for name in ("whole", "killed_1"))
    assert row["weights"] == cr.Run(whole).metrics["weights"] == cr.Run(killed).metrics["weights"]
    assert differences(cr.Run(whole), cr.Run(killed)) == []
    assert said.startswith("training without a kill")


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

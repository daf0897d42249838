"""`--json` prints one JSON document to stdout and messages to stderr; `-q` prints results only, `-v` adds logs."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path
from unittest.mock import create_autospec

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import cnnrecipes as cr
from cnnrecipes.cli import app, output
from cnnrecipes.recipe import catalog


@pytest.fixture
def photos(tmp_path) -> Path:
    """Two classes of three images, and one unreadable file."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(3):
            image = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / "photos" / name / f"{i}.png")
    (tmp_path / "photos" / "cat" / "bad.png").write_bytes(b"no image")
    return tmp_path / "photos"


@pytest.fixture
def run_cli(monkeypatch, capsys, tmp_path):
    """Run the command line in this process; return its exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["cnnrecipes", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            app.main()
        return caught.value.code or 0, *capsys.readouterr()

    return run


def test_list_as_json(run_cli):
    status, out, err = run_cli("list", "--json")
    assert (status, err) == (0, "")
    assert [one["recipe"] for one in json.loads(out)] == catalog.names()
    assert all(one["summary"] for one in json.loads(out))


def test_inspect_as_json(run_cli, tmp_path):
    status, out, err = run_cli("inspect", "resnet8", "data.image_size=16", "--json")
    assert status == 0
    found = json.loads(out)
    assert found["stages"][-1]["stage"] == "total"
    assert found["stages"][-1]["parameters"] == 75_290
    assert all((tmp_path / file).is_file() for file in found["files"])
    assert "drawn with noise" in found["note"]
    assert err.count("drawn with noise") == 1
    assert err.count("wrote ") == len(found["files"])


def test_check_data_as_json(run_cli, photos):
    status, out, err = run_cli("check-data", photos, "--json")
    assert status == 0
    found = json.loads(out)
    assert found == json.loads((Path("check") / "photos" / "report.json").read_text())
    assert list(found["unreadable"]) == [str(photos / "cat" / "bad.png")]
    assert err.count("wrote ") == 3


def test_evaluate_and_predict_as_json(run_cli, digits_run, tmp_path):
    status, out, err = run_cli("evaluate", digits_run.folder, "--json", "--tta", "shift(1)")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found["tta"] == ["shift(1)"]
    assert found["plain"]["accuracy"] == digits_run.metrics["test"]["accuracy"]
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    status, out, err = run_cli("predict", digits_run.folder, tmp_path / "a.png", tmp_path / "none.png", "--json")
    assert status == 1
    assert math.isclose(sum(json.loads(out)[str(tmp_path / "a.png")].values()), 1, abs_tol=1e-5)
    assert "none.png" in err


def test_experiment_as_json(run_cli, monkeypatch):
    def run(name, *, workdir, progress, **setting):
        print("epoch 1/1" if progress else "")  # like a training
        row = {"loss": 2.0, "accuracy": 0.25, "val_loss": math.nan, "val_accuracy": 0.5, "epoch": setting["epochs"]}
        return pd.DataFrame([{"kind": "plain", "size": size, **row} for size in (20, 56)])

    monkeypatch.setattr(cr.experiments, "run", create_autospec(cr.experiments.run, side_effect=run))
    status, out, err = run_cli("experiment", "plain_and_residual", "epochs=1", "--json")
    assert status == 0
    found = json.loads(out)
    assert [(one["size"], one["val_accuracy"]) for one in found["cases"]] == [(20, 0.5), (56, 0.5)]
    assert found["cases"][0]["val_loss"] is None
    assert found["files"] == [f"experiments/plain_and_residual/histories.{suffix}" for suffix in ("csv", "png")]
    assert "Do deeper networks train worse" in err
    assert "epoch 1/1" in err
    status, out, err = run_cli("experiment", "plain_and_residual", "--quiet")
    assert (status, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()[-2:]] == [["plain", "20"], ["plain", "56"]]


@pytest.mark.parametrize("equal", [True, False])
def test_resume_check_as_json(run_cli, monkeypatch, equal):
    def check(recipe, *, kills, say, **options):
        say(f"training {recipe.name} without a kill")
        row = {"killed_after": 0.5, "resumed_from": {"epoch": 0, "step": 3}, "weights": "1f", "equal": True}
        return pd.DataFrame([row, {**row, "resumed_from": None, "equal": equal}])

    monkeypatch.setattr(cr, "resume_check", create_autospec(cr.resume_check, side_effect=check))
    status, out, err = run_cli("resume-check", "resnet8_digits", "--kills", "2", "--json")
    found = json.loads(out)
    assert (status, found["kills"], found["equal"]) == (0 if equal else 1, 2, 1 + equal)
    assert [one["resumed_from"] for one in found["runs"]] == [{"epoch": 0, "step": 3}, None]
    assert err == "training resnet8_digits without a kill\n"
    status, out, err = run_cli("-q", "resume-check", "resnet8_digits", "--kills", "2")
    assert (out.count("\n"), err) == (1, "")


def test_nonfinite_numbers_become_null_in_json(capsys):
    output.print_json({"loss": math.nan, "n": np.int64(3), "values": (np.float32(0.5), math.inf), "path": Path("a")})
    assert json.loads(capsys.readouterr().out) == {"loss": None, "n": 3, "values": [0.5, None], "path": "a"}


def test_models_are_listed(run_cli):
    status, out, _ = run_cli("models", "--pretrained", "--json")
    rows = {row["model"]: row for row in json.loads(out)}
    assert status == 0
    assert rows["mobilenet_v2"]["top1"] == 71.3
    assert "resnet20" not in rows
    status, out, _ = run_cli("models")
    assert "resnet20" in out


def test_error_leaves_stdout_empty(run_cli):
    status, out, err = run_cli("inspect", "resnet21", "--json")
    assert (status, out, len(err.splitlines())) == (2, "", 1)


def test_command_leaves_the_warnings_of_the_process_as_they_were(run_cli):
    before = warnings.showwarning
    assert run_cli("list")[0] == 0
    assert run_cli("show", "resnet21")[0] == 2
    assert warnings.showwarning is before


def test_quiet_is_accepted_before_or_after_the_command(run_cli, photos):
    assert run_cli("-q", "plot-schedule", "resnet8_digits") == (0, "schedule.png\n", "")
    assert run_cli("plot-schedule", "resnet8_digits", "-q") == (0, "schedule_2.png\n", "")
    assert run_cli("plot-schedule", "resnet8_digits") == (0, "wrote schedule_3.png\n", "")
    _, out, _ = run_cli("check-data", photos, "--quiet")
    assert out.splitlines()[-1] == "training may go on"


@pytest.mark.parametrize("arguments", [("-v", "show", "resnet21"), ("show", "resnet21", "--verbose")])
def test_verbose_prints_the_traceback_of_an_error(arguments):
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Traceback")
    assert done.stderr.splitlines()[-1].startswith("cnnrecipes: unknown recipe 'resnet21'")


def test_verbose_shows_tensorflow_logs(digits_run):
    """Without it nothing is written to stderr: `test_fit_and_predict_in_an_empty_folder`."""
    assert "port.cc" in command("evaluate", digits_run.folder, "-v").stderr


def test_launch_passes_options_to_the_workers(tmp_path):
    small = ("model.depths=[1]", "model.widths=[16]", "logging.loggers=[]", "logging.report=off")
    asked = ("resnet8_digits", "train.epochs=1", *small, "--workdir", tmp_path, "--name", "one")
    done = command("-q", "launch", "--workers", "1", "fit", *asked)
    assert done.stdout == f"{tmp_path / 'one'}\n", done.stderr
    done = command("launch", "--workers", "1", "fit", "resnet21", "-q")
    assert done.returncode == 2
    assert "unknown recipe" in done.stdout


def command(*arguments):
    """Run the command line in a subprocess, with TensorFlow's default log level."""
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    program = [sys.executable, "-m", "cnnrecipes", *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, check=False, env=environment)

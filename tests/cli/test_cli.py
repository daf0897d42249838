"""The command line: commands, options, help, exit status and error messages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from cnnrecipes.cli import app
from cnnrecipes.experiments import lecture
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.toml import read_toml, tomllib


def command(*arguments, cwd=None):
    """Run the installed console script, with TensorFlow's default log level."""
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    program = [Path(sys.executable).with_name("cnnrecipes"), *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, cwd=cwd, check=False, env=environment)


def run_cli(monkeypatch, *arguments):
    """Run the command line in this process; return its exit status."""
    monkeypatch.setattr(sys, "argv", ["cnnrecipes", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        app.main()
    return caught.value.code or 0


def test_fit_and_predict_in_an_empty_folder(tmp_path, monkeypatch, capfd):
    """The trained run is that of the installed script."""
    changes = ("train.epochs=1", "optimizer.warmup=0 epochs", "model.depths=[1]", "model.widths=[16]")
    fitted = command("fit", "resnet8_digits", *changes, cwd=tmp_path)
    assert fitted.returncode == 0, fitted.stderr
    assert fitted.stderr == ""
    assert "test accuracy" in fitted.stdout
    run = next((tmp_path / "runs").iterdir())
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    assert run_cli(monkeypatch, "predict", run, tmp_path / "a.png", tmp_path / "a.png") == 0
    shown = capfd.readouterr().out
    assert len(shown.splitlines()) == 2
    assert shown.startswith(f"{tmp_path / 'a.png'}: ")
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "a.png"}


def test_inspect_prints_the_stages_and_writes_the_figures(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert run_cli(monkeypatch, "inspect", "resnet8", "model.norm=group", "data.image_size=16") == 0
    out, error = capfd.readouterr()
    assert error == ""
    assert "16x16x16" in out
    assert "75,290" in out  # the total
    for path in (line.removeprefix("wrote ") for line in out.splitlines() if line.startswith("wrote ")):
        assert (tmp_path / path).stat().st_size > 1000
    assert out.count("wrote ") == len(list((tmp_path / "inspect" / "resnet8").iterdir())) == 7


def test_experiment_prints_its_question_and_results(tmp_path, monkeypatch, capsys):
    """Of the cheapest and the most expensive case, with nets of one stage."""
    whole = lecture.find("plain_and_residual")
    small = {"model.depths": (1,), "model.widths": (16,)}
    cases = [replace(case, changes={**case.changes, **small}) for case in (whole.cases[0], whole.cases[-1])]
    monkeypatch.setitem(lecture.EXPERIMENTS, "plain_and_residual", replace(whole, cases=tuple(cases)))
    monkeypatch.chdir(tmp_path)
    setting = ("data=digits", "pixels=8", "images=60", "epochs=1")
    assert run_cli(monkeypatch, "experiment", "plain_and_residual", *setting) == 0
    out = capsys.readouterr().out
    assert "Do deeper networks train worse" in out
    kinds = [line.split()[:2] for line in out.splitlines() if line.startswith(("plain ", "residual "))]
    assert kinds == [["plain", "20"], ["residual", "56"]]
    assert (tmp_path / "experiments" / "plain_and_residual" / "histories.png").stat().st_size > 10_000


def test_list_shows_every_recipe(monkeypatch, capsys):
    assert run_cli(monkeypatch, "list") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in catalog.names())


def test_interrupted_command_says_so(monkeypatch, capfd):
    """A real SIGINT while a command works."""
    monkeypatch.setattr(catalog, "names", lambda: signal.raise_signal(signal.SIGINT))
    assert run_cli(monkeypatch, "list") == 130
    assert capfd.readouterr().err.strip() == "cnnrecipes: interrupted"


def test_show_prints_a_valid_recipe(monkeypatch, capsys):
    assert run_cli(monkeypatch, "show", "resnet20_cifar", "train.epochs=3", "model.norm=group") == 0
    tables = tomllib.loads(capsys.readouterr().out)
    assert (tables["train"]["epochs"], tables["model"]["norm"]) == (3, "group")


def test_schema_is_a_json_schema_of_recipes(monkeypatch, capsys):
    assert run_cli(monkeypatch, "schema") == 0
    jsonschema.validate(read_toml(catalog.find("resnet8_digits")), json.loads(capsys.readouterr().out))


def test_evaluate_and_predict_with_tta(monkeypatch, capsys, digits_run, tmp_path):
    views = ("--tta", "shift(1)", "--tta", "centre(9)", "--average", "logits")
    assert run_cli(monkeypatch, "evaluate", digits_run.folder, *views) == 0
    plain, averaged, *tables = capsys.readouterr().out.splitlines()
    assert plain.startswith("plain: test accuracy ")
    assert averaged.startswith("shift(1) + centre(9), mean of logits: ")
    assert plain.count("(n = ") == averaged.count("(n = ") == 1
    assert tables[1].split() == ["metric", "value", "plain"]
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    assert run_cli(monkeypatch, "predict", digits_run.folder, tmp_path / "a.png", *views) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'a.png'}: ")
    assert run_cli(monkeypatch, "predict", digits_run.folder, tmp_path / "a.png", "--tta", "flip") == 2
    assert "flip_lr" in capsys.readouterr().err


def test_evaluate_and_predict_a_run(monkeypatch, capsys, digits_run, tmp_path):
    assert run_cli(monkeypatch, "evaluate", digits_run.folder) == 0
    accuracy = digits_run.metrics["test"]["accuracy"]
    assert f"test accuracy {accuracy:.2%} (n = 359" in capsys.readouterr().out
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    assert run_cli(monkeypatch, "predict", "--json", digits_run.folder / "model.keras", tmp_path / "a.png") == 0
    shown = json.loads(capsys.readouterr().out)[str(tmp_path / "a.png")]
    assert set(shown) == set("0123456789")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fit", ["recipe", "KEY=VALUE", "--data", "--workdir", "--seed"]),
        ("predict", ["run", "images", "--json"]),
        ("evaluate", ["run", "--data", "--split"]),
        ("show", ["recipe", "KEY=VALUE"]),
    ],
)
def test_help_describes_arguments_and_options(monkeypatch, capsys, name, words):
    assert run_cli(monkeypatch, name, "--help") == 0
    shown = capsys.readouterr().out
    assert all(word.lower() in shown.lower() for word in words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit"], "recipe"),
        (["fitt"], "fit"),
        (["fit", "resnet8_digit"], "resnet8_digits"),
        (["fit", "resnet8_digits", "train.epoch=3"], "train.epochs"),
        (["fit", "resnet8_digits", "train.epochs=many"], "'many'"),
        (["fit", "resnet8_digits", "epochs"], "key=value"),
        (["fit", "resnet8_digits", "--sed", "3"], "--seed"),
        (["fit", "resnet8_digits", "--seed", "-3"], "train.seed = -3"),
        (["fit", "resnet8_digits", "model.name=resnet9"], "resnet8"),
        (["fit", "photos_from_scratch"], "photos"),
        (["fit", "photos_from_scratch", "--data", "/no/where"], "/no/where"),
        (["fit", "resnet8_digits", "--workdir", "/dev/null/x"], "/dev/null/x"),
        (["show", "nowhere.toml"], "nowhere.toml"),
        (["predict", "/no/run", "a.jpg"], "/no/run"),
        (["evaluate", "/no/run"], "/no/run"),
        (["experiment", "plain_and_residual", "workdir=x"], "unknown setting 'workdir'"),
    ],
)
def test_user_error_is_one_line_and_exit_status_2(monkeypatch, capsys, arguments, words):
    assert run_cli(monkeypatch, *arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("cnnrecipes: ")
    assert words in lines[0]


def test_installed_script_reports_an_error_without_traceback():
    result = command("fit", "resnet20_cifr")
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)


def test_version_is_printed(monkeypatch, capsys):
    import cnnrecipes

    assert run_cli(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.strip() == f"cnnrecipes {cnnrecipes.__version__}"


def test_quiet_fit_prints_its_folder_and_predict_accepts_folders(tmp_path, monkeypatch, capsys):
    """The output of a training is machine-readable."""
    small = ("train.epochs=1", "data.batch_size=512", "model.depths=[1]", "model.widths=[16]", "logging.report=off")
    asked = (*small, "--workdir", tmp_path, "--name", "mine", "--quiet")
    assert run_cli(monkeypatch, "fit", "resnet8_digits", *asked) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'mine'}\n"
    assert run_cli(monkeypatch, "fit", "resnet8_digits", *asked) == 2
    assert "exists already; give another name" in capsys.readouterr().err
    for name in ("b", "a"):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "images" / f"{name}.png")
    assert run_cli(monkeypatch, "predict", tmp_path / "mine", tmp_path / "images") == 0
    shown = [line.partition(": ")[0] for line in capsys.readouterr().out.splitlines()]
    assert shown == [str(tmp_path / "images" / f"{name}.png") for name in "ab"]
    (tmp_path / "images" / "c.png").write_bytes(b"no image")
    assert run_cli(monkeypatch, "predict", tmp_path / "mine", f"{tmp_path}/images/*", "--json") == 1
    out, error = capsys.readouterr()
    assert list(json.loads(out)) == shown
    assert error.count("\n") == 1
    assert "c.png" in error


def test_evaluate_accepts_a_folder_of_images(digits_run, tmp_path, monkeypatch, capsys):
    """Two of the ten classes, in another order than in the run."""
    for name in ("7", "3"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(3):
            image = np.random.default_rng(i).integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / "photos" / name / f"{i}.png")
    assert run_cli(monkeypatch, "evaluate", digits_run.folder, "--data", tmp_path / "photos") == 0
    said = capsys.readouterr().out
    assert said.startswith("data accuracy ")
    assert "(n = 6, " in said
    predicted = digits_run.predict(tmp_path / "photos")
    correct = sum(one.name == Path(one.file).parent.name for one in predicted)
    assert said.startswith(f"data accuracy {correct / 6:.2%} ")

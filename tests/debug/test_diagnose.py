"""`diagnose` on real runs: finished, unfinished, ended by NaN, without steps; and what it leaves unchanged."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from adaptation import NARROW, OTHER, adapt, pretrain
from PIL import Image

import cnnrecipes as cr
from cnnrecipes.cli import app
from cnnrecipes.data.split_part import spread_part
from cnnrecipes.debug.run_evidence import recorded_evidence
from cnnrecipes.debug.split_predictions import predictions, reestimate_batch_norm
from cnnrecipes.diagnosis.finding import causes
from cnnrecipes.errors import CNNRecipesWarning, DataError, RunError, TrainingError
from cnnrecipes.runs.watch_records import COLUMNS, WatchFile
from cnnrecipes.training.seeding import undisturbed_random_numbers

SMALL = {**NARROW, "train.epochs": 2, "optimizer.warmup": "0 epochs", "logging.loggers": []}


@pytest.fixture(scope="module")
def diverged(tmp_path_factory):
    """A run whose loss became NaN in its first epoch."""
    folder = tmp_path_factory.mktemp("diverged")
    changes = {**SMALL, "model.norm": "none", "optimizer.learning_rate": 1e6, "model.branch_scale": "none"}
    with pytest.raises(TrainingError, match="the loss is"):
        cr.fit("resnet8_digits", workdir=folder, name="run", progress=False, **changes)
    return folder / "run"


@pytest.fixture
def run_cli(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cnnrecipes", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            app.main()
        return stopped.value.code or 0, *capsys.readouterr()

    return run


def contents(folder) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def generators() -> list:
    """The next numbers of all random number generators, which are not advanced."""
    with undisturbed_random_numbers():
        numbers = [one((2,)).numpy().tolist() for one in (tf.random.uniform, keras.random.uniform)]
        return [random.random(), np.random.rand(), *numbers]


def test_diagnosis_measures_both_splits_and_changes_nothing(digits_run):
    run = cr.Run.open(digits_run.folder)
    weights, files = run.model.get_weights(), contents(run.folder)
    random.seed(7), np.random.seed(7), tf.random.set_seed(7)
    before = generators()
    found = cr.diagnose(run, images=200)
    assert generators() == before
    assert contents(run.folder) == files
    assert all(np.array_equal(a, b) for a, b in zip(run.model.get_weights(), weights, strict=True))
    assert "on 200 training images without augmentation" in str(found)
    assert "validation images" in str(found)


def test_accuracies_are_those_of_evaluate(digits_run):
    run = cr.Run.open(digits_run.folder)
    source = run._source(None, None, run.class_names)
    counts = predictions(run.artifact, source.split("validation"))
    measured = run.evaluate(split="validation")
    assert (counts.n, counts.accuracy) == (measured["n"], measured["accuracy"])
    assert counts.cross_entropy == pytest.approx(measured["cross_entropy"], rel=1e-6)
    assert sum(counts.predicted) == counts.n


def test_records_alone_are_enough(digits_run, tmp_path):
    folder = shutil.copytree(digits_run.folder, tmp_path / "run")
    found = cr.diagnose(folder, measure=False)
    assert "they were not asked for" in str(found)
    (folder / "model.keras").unlink()
    (folder / "metrics.json").unlink()
    assert cr.diagnose(folder, images=100).state  # unfinished: with the best weights so far
    shutil.rmtree(folder / "checkpoints")
    assert "has no checkpoint yet" in str(cr.diagnose(folder))
    (folder / "history.csv").unlink()
    with pytest.raises(RunError, match=r"has no history\.csv"):
        cr.diagnose(folder)


def test_nan_is_recorded_and_diagnosed(diverged, run_cli):
    recorded = json.loads((diverged / "failure.json").read_text())
    assert recorded["epoch"] == 1
    assert recorded["loss"] in ("nan", "inf")
    found = cr.diagnose(diverged)
    assert found.verdict == "divergence"
    assert f"step {recorded['step']} (epoch 1)" in found.sentence
    code, out, _ = run_cli("diagnose", diverged)
    assert code == 1
    assert "optimizer.learning_rate=" in out


def test_resume_forgets_the_failure(diverged, tmp_path):
    folder = shutil.copytree(diverged, tmp_path / "run")
    (folder / "history.csv").write_text("epoch,loss,accuracy,learning_rate,seconds,images_per_second\n1,2,0.2,1,1,1\n")
    with pytest.raises(TrainingError):
        cr.resume(folder, progress=False)
    again = json.loads((folder / "failure.json").read_text())
    assert again == json.loads((diverged / "failure.json").read_text())
    (folder / "failure.json").unlink()
    assert recorded_evidence(cr.Run.open(folder)).failure is None


@pytest.mark.parametrize("images", [0, -1])
def test_no_images_is_an_error(digits_run, images):
    with pytest.raises(DataError, match="leaves no image"):
        cr.diagnose(digits_run, images=images)


def test_other_classes_are_an_error(digits_run):
    images = np.random.default_rng(0).integers(0, 255, (20, 8, 8, 1)).astype(np.uint8)
    other = (images, np.array(["a", "b"] * 10))
    with pytest.raises(DataError, match="the model has"):
        cr.diagnose(digits_run, other)


def test_not_a_run_is_an_error(tmp_path):
    with pytest.raises(RunError, match="is not a run folder"):
        cr.diagnose(tmp_path)


def test_data_that_are_not_there_are_named(tmp_path):
    random_ = np.random.default_rng(0)
    labels = np.arange(60) % 2
    images = (random_.integers(0, 100, (60, 8, 8, 1)) + 150 * labels[:, None, None, None]).astype(np.uint8)
    changes = {**SMALL, "data.batch_size": 16, "data.test": 0.0, "augment.ops": []}
    run = cr.fit("resnet8_digits", (images, labels), workdir=tmp_path, progress=False, **changes)
    assert "give the data with data=" in str(cr.diagnose(run))
    assert "cannot tell whether classes are never predicted" not in str(cr.diagnose(run, (images, labels)))


@pytest.fixture(scope="module")
def run_of_photos(tmp_path_factory):
    """A run on the recipe's own data, 40 PNG files in two folders, of which a/0.png was never readable."""
    folder, numbers = tmp_path_factory.mktemp("of_photos"), np.random.default_rng(0)
    for number in range(40):
        path = folder / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = numbers.integers(0, 100, (8, 8, 3)) + 150 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    (folder / "photos" / "a" / "0.png").write_bytes(b"no image")
    keys = {"data.name": "photos", "data.image_size": 8, "data.channels": 3, "data.batch_size": 8, "augment.ops": []}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return cr.fit("resnet8_digits", workdir=folder, progress=False, **{**SMALL, **keys})


@pytest.fixture
def photos_run(run_of_photos, monkeypatch):
    """The run, in the folder of its photos, which are repaired after the test."""
    folder = run_of_photos.folder.parent
    monkeypatch.chdir(folder)
    kept = {path: (path.read_bytes(), path.stat()) for path in folder.glob("photos/*/*.png")}
    yield cr.Run.open(run_of_photos.folder)
    for path, (content, times) in kept.items():
        path.write_bytes(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_file_that_was_damaged_after_the_training_is_named(photos_run, recwarn):
    assert "cannot be read" not in str(cr.diagnose(photos_run))
    assert not [one for one in recwarn if "cannot be read" in str(one.message)]
    Path("photos/b/1.png").write_bytes(b"no image any more")
    with pytest.warns(CNNRecipesWarning, match=r"1 file .* read any more, for example 'photos/b/1.png': .*Restore the"):
        assert "give the data" not in str(cr.diagnose(photos_run))


def test_file_that_cannot_be_decoded_is_named_with_its_remedy_alone(photos_run):
    # Damaged, with the size and time of the inspected file: not 1.png, which the test above made to be inspected again.
    for path in Path("photos/b").glob("[!1]*.png"):
        content, times = path.read_bytes(), path.stat()
        path.write_bytes(content[:60] + b"x" * (len(content) - 60))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    message = r"cannot read '(.*/)?photos/b/\d+.png' \(train\): .*; repair or remove the file"
    assert re.search(rf"{message}\.", str(cr.diagnose(photos_run)))
    with pytest.raises(DataError, match=rf"{message}$"):
        cr.diagnose(photos_run, "photos")


def test_logistic_regression_has_no_epochs_and_is_diagnosed_by_its_predictions(tmp_path):
    run = adapt("features", pretrain(tmp_path, **NARROW, **{"train.epochs": 1}), tmp_path, **NARROW)
    found = cr.diagnose(run, OTHER)
    assert any("logistic regression on frozen features, without steps" in text for text in found.cannot_tell)
    assert "on 48 training images" in found.state
    assert not {one.cause for one in found.findings} & {"rate_too_low", "too_few_epochs", "plateau"}


def test_stale_batch_norm_is_proven_by_reestimation(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["cnnrecipes.layers.norm"], "MOMENTUM", 0.9999)
    whole = {"train.epochs": 5, "model.depths": None, "model.widths": None}  # all stages of resnet8
    run = cr.fit("resnet8_digits", workdir=tmp_path, progress=False, **{**SMALL, **whole})
    found = cr.diagnose(run, images=500)
    assert found.verdict == "stale_batch_norm"
    assert "re-estimated on training images, validation rises from" in str(found)
    assert found.findings[0].severity == "error"


def test_reestimated_statistics_are_means_over_batches(digits_run):
    run = cr.Run.open(digits_run.folder)
    artifact = cr.Artifact.load(run.folder / "model.keras")
    part = spread_part(run._source(None, None, run.class_names).split("train"), 192)
    reestimate_batch_norm(artifact, part)
    norms = [layer for layer in artifact.model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    first = norms[0]
    images = np.stack([part.read(i)[0] for i in range(len(part))]).astype(np.float32)
    inputs = keras.Model(artifact.model.inputs, first.input)(images).numpy()
    batches = inputs.reshape(3, 64, *inputs.shape[1:])
    means, variances = batches.mean(axis=(1, 2, 3)).mean(axis=0), batches.var(axis=(1, 2, 3)).mean(axis=0)
    assert np.allclose(first.moving_mean.numpy(), means, atol=1e-4)
    assert np.allclose(first.moving_variance.numpy(), variances, rtol=1e-3)
    assert {layer.momentum for layer in norms} == {0.9}


def test_watch_of_a_run_is_read(digits_run, tmp_path):
    folder = shutil.copytree(digits_run.folder, tmp_path / "run")
    file, unknown = WatchFile(folder / "watch.csv"), dict.fromkeys(COLUMNS, 0)
    for step in (1, 50, 100):
        layers = (("stem", "weighted", 0.0, 1e-3), ("stage1_conv", "weighted", 0.2 if step < 60 else 0.9, 1e-3))
        file.add(
            step,
            [
                {**unknown, "layer": layer, "kind": kind, "dead": dead, "update_ratio": update}
                for layer, kind, dead, update in (*layers, ("stem_norm", "norm", 0.0, 0.9))
            ],
        )
    found = recorded_evidence(cr.Run.open(folder)).layers
    assert {layer.name: layer.dead for layer in found} == {"stem": 0.0, "stage1_conv": 0.9, "stem_norm": 0.0}
    assert [layer.update_ratio for layer in found] == pytest.approx([1e-3, 1e-3, np.nan], nan_ok=True)
    assert "stage1_conv (90%)" in str(cr.diagnose(folder, measure=False))
    (folder / "watch.csv").write_text("nonsense\n")
    with pytest.warns(UserWarning, match="is left out of the diagnosis"):
        cr.diagnose(folder, measure=False)


def test_command_prints_json(digits_run, run_cli):
    code, out, _ = run_cli("diagnose", digits_run.folder, "--json", "--images", 100)
    found = json.loads(out)
    assert code == (0 if found["ok"] else 1)
    assert {"verdict", "sentence", "findings", "cannot_tell"} <= found.keys()


def test_command_says_what_it_measures_and_quiet_does_not(digits_run, run_cli):
    assert "predicting 100 training images" in run_cli("diagnose", digits_run.folder, "--images", 100)[1]
    assert "predicting" not in run_cli("diagnose", digits_run.folder, "--images", 100, "--quiet")[1]


def test_code_of_the_documentation_runs(digits_run):
    page = (Path(__file__).parents[2] / "docs" / "debugging.md").read_text(encoding="utf-8")
    section = page.split("## Diagnosis of a run")[1].split("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, re.S)
    names = {"RUN": digits_run.folder}
    exec(compile(block, "debugging.md", "exec"), names)
    assert names["found"].verdict in ("healthy", *causes())


def test_every_cause_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "debugging.md").read_text(encoding="utf-8")
    assert {cause for cause in causes() if f"`{cause}`" not in page} == set()

"""A run folder written at commit 0e71594, before `TrainState` and the tables [optimizer], [devices] and [logging]."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.runs import checkpoint
from cnnrecipes.runs.environment import environment
from cnnrecipes.verify.resume_check import differences

FOLDER = Path(__file__).parents[1] / "data_files" / "run_before_train_state"
with np.load(FOLDER / "data.npz") as arrays:
    DATA = (arrays["images"], arrays["labels"])
with np.load(FOLDER / "recorded.npz") as arrays:
    PROBABILITIES, CPU = arrays["probabilities"], str(arrays["cpu"])  # probabilities of the first 8 images


def cpu() -> str:
    """The digest of the processor's name and instruction sets; empty outside of Linux."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = sorted({line for line in lines if line.startswith(("model name", "flags"))})
    return hashlib.sha256("\n".join(named).encode()).hexdigest()[:16] if named else ""


def same_arithmetic() -> bool:
    """True with the CPU and the TensorFlow of the recording; others may round differently."""
    packages = json.loads((FOLDER / "run" / "environment.json").read_text())["packages"]
    return (CPU, packages["tensorflow"]) == (cpu(), environment()["packages"]["tensorflow"])


@pytest.fixture
def old(tmp_path) -> cr.Run:
    """A copy of the run."""
    return cr.load(shutil.copytree(FOLDER / "run", tmp_path / "old"))


def test_old_run_is_loaded_with_its_renamed_keys(old):
    recipe = old.recipe
    assert (recipe.optimizer.name, recipe.optimizer.ema, recipe.optimizer.learning_rate) == ("adamw", 0.9, 0.01)
    assert (recipe.train.artifact, recipe.logging.loggers, recipe.devices.steps_per_execution) == ("best", (), 1)
    assert old.artifact.recipe == recipe
    assert old.history.epoch.tolist() == [1, 2]
    assert old.class_names == ("0", "1")
    assert "Run of resnet20_cifar" in repr(old)


def test_old_artifact_predicts_the_recorded_probabilities(old):
    found = old.artifact.probabilities(DATA[0][: len(PROBABILITIES)])
    np.testing.assert_allclose(found, PROBABILITIES, rtol=1e-5)
    if same_arithmetic():
        np.testing.assert_array_equal(found, PROBABILITIES)


def assert_close(found: dict, recorded: dict) -> None:
    """Compare two evaluations; the interval was computed with the quantile 1.959964, and there was no other metric."""
    assert found.keys() > recorded.keys()
    for key in ("split", "n", "accuracy"):
        assert found[key] == recorded[key]
    for key in ("accuracy_95", "cross_entropy"):
        assert found[key] == pytest.approx(recorded[key], rel=1e-5)


def test_old_run_evaluates_to_its_recorded_metrics(old):
    assert_close(old.evaluate(DATA, split="validation"), old.metrics["validation"])


def flat_weights(saved: checkpoint.Checkpoint) -> np.ndarray:
    return np.concatenate([array.ravel() for name, array in saved.arrays.items() if name.startswith("model/")])


def test_old_unfinished_run_is_resumed_to_the_recorded_state(old, tmp_path):
    killed = shutil.copytree(old.folder, tmp_path / "killed")
    for name in ("model.keras", "metrics.json", "checkpoints/step_000000004.npz"):
        (killed / name).unlink()
    start = checkpoint.newest(killed)
    resumed = cr.resume(killed, DATA, progress=False)
    expected, found = (checkpoint.newest(run.folder) for run in (old, resumed))
    assert expected.arrays.keys() == found.arrays.keys()
    # Another processor rounds otherwise, and batch norm of eight images amplifies that: 1% of the update was seen.
    before, recorded, now = map(flat_weights, (start, expected, found))
    assert np.linalg.norm(now - recorded) < 0.05 * np.linalg.norm(recorded - before)
    if same_arithmetic():
        assert set(differences(old, resumed)) <= {"validation"}
        assert_close(resumed.metrics["validation"], old.metrics["validation"])
        assert resumed.metrics["weights"] == old.metrics["weights"]


def test_old_run_is_extended(old, tmp_path):
    longer = cr.extend(old, 1, schedule="restart", data=DATA, workdir=tmp_path / "new", progress=False)
    columns = ["epoch", "loss", "val_loss", "learning_rate"]
    assert longer.history[columns][:2].equals(old.history[columns])
    assert longer.history.epoch.tolist() == [1, 2, 3]
    assert longer.recipe.train.epochs == 3
    assert longer.metrics["epoch"] in (1, 2, 3)

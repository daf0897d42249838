"""Checkpoints: atomic writes, verification, fallback to the previous one, checks of recipe and data."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from cnnrecipes.errors import RunError
from cnnrecipes.runs import checkpoint, verified_npz
from cnnrecipes.runs.checkpoint import FOLDER, Checkpoint, Fingerprint
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.runs.weights import read_weights, write_weights

ARRAYS = {"model/00000": np.arange(12, dtype=np.float32).reshape(3, 4), "counters/00000": np.int64(7)}
FINGERPRINT = Fingerprint({"name": "x", "train": {"epochs": 3}, "logging": {"loggers": []}}, {"training_images": 9})


def state(step: int) -> TrainState:
    return TrainState(steps_per_epoch=100, step=step, history=[{"loss": 0.1 + 0.2, "accuracy": 1e-300}])


def run_with_checkpoints(folder: Path, *steps: int) -> Path:
    """A run folder with checkpoints at the given steps."""
    (folder / FOLDER).mkdir(exist_ok=True)
    for step in steps:
        path = folder / FOLDER / f"step_{step:09d}.npz"
        Checkpoint(path, ARRAYS, state(step), FINGERPRINT).write(path)
    return folder


def test_temporary_files_of_a_killed_writer_are_deleted(tmp_path):
    folder = run_with_checkpoints(tmp_path) / FOLDER
    for name in (".123.step_000000005.npz", ".123.best.npz", "best.npz"):
        (folder / name).touch()
    checkpoint.Writer(tmp_path).delete_leftovers()
    assert [path.name for path in folder.iterdir()] == ["best.npz"]


@pytest.mark.parametrize("kept", [0, 1, 30, 100, -1])
def test_truncated_checkpoint_falls_back_to_the_previous_one(tmp_path, kept):
    newest = run_with_checkpoints(tmp_path, 5, 10) / FOLDER / "step_000000010.npz"
    newest.write_bytes(newest.read_bytes()[:kept])
    said = []
    assert checkpoint.newest(tmp_path, said.append).state.step == 5
    assert "step_000000010.npz" in said[0]
    assert "the one before it is used" in said[0]
    (newest.with_name("step_000000005.npz")).write_bytes(b"")
    with pytest.raises(RunError, match="there is no other checkpoint"):
        checkpoint.newest(tmp_path, said.append)


def test_newest_is_none_without_checkpoints(tmp_path):
    assert checkpoint.newest(tmp_path) is None


def test_writer_keeps_the_two_newest_checkpoints(tmp_path):
    writer = checkpoint.Writer(run_with_checkpoints(tmp_path))
    for step in range(5):
        writer.write(ARRAYS, state(step), FINGERPRINT)
    writer.finish()
    assert [path.name for path in checkpoint.found(tmp_path)] == ["step_000000004.npz", "step_000000003.npz"]


def test_restore_assigns_all_variables_or_none(tmp_path):
    first, second = keras.Variable(np.ones((2, 3))), keras.Variable(3, dtype="int64")
    arrays = checkpoint.capture({"model": [first], "counters": [second]})
    first.assign(np.zeros((2, 3))), second.assign(9)
    found = Checkpoint(tmp_path / "x", arrays, state(1), FINGERPRINT)
    with pytest.raises(RunError, match=r"shape \(2, 3\) in the checkpoint and \(3, 2\) in this model"):
        found.restore({"model": [keras.Variable(np.zeros((3, 2)))], "counters": [second]})
    with pytest.raises(RunError, match="has 2 variables, this training 1"):
        found.restore({"model": [first]})
    assert (first.numpy() == 0).all()
    assert int(second.numpy()) == 9
    found.restore({"model": [first], "counters": [second]})
    assert (first.numpy() == 1).all()
    assert int(second.numpy()) == 3


def test_capture_copies_the_values(tmp_path):
    """The writer may still be writing when later steps change the variables."""
    variable = keras.Variable(np.zeros(1000))
    arrays = checkpoint.capture({"model": [variable]})
    variable.assign_add(np.ones(1000))
    writer = checkpoint.Writer(run_with_checkpoints(tmp_path))
    writer.write(arrays, state(1), FINGERPRINT)
    writer.finish()
    assert (checkpoint.newest(tmp_path).arrays["model/00000"] == 0).all()


def test_writer_killed_at_any_time_leaves_a_valid_checkpoint(tmp_path):
    folder = run_with_checkpoints(tmp_path)
    program = textwrap.dedent(
        f"""
        import numpy as np, os, pathlib, sys
        from cnnrecipes.runs import checkpoint
        from cnnrecipes.runs.training_progress import TrainState
        fingerprint = checkpoint.Fingerprint({{}}, {{}})
        for _ in sys.stdin:  # a writer for each line, in a process of its own
            if child := os.fork():
                os.waitpid(child, 0)
                print("killed", flush=True)
                continue
            print(os.getpid(), flush=True)
            writer = checkpoint.Writer(pathlib.Path({str(folder)!r}))
            for step in range(10_000):
                writer.write({{"a": np.full(500_000, step, np.float32)}}, TrainState(20_000, step=step), fingerprint)
                print(step, flush=True)
            os._exit(0)
        """
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    random = np.random.default_rng(0)
    program = [sys.executable, "-c", program]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, stdin=pipe, stdout=pipe, text=True, bufsize=1, env=environment) as process:
        for _ in range(5):
            process.stdin.write("\n")
            writer = int(process.stdout.readline())
            while int(process.stdout.readline()) <= 5:
                pass
            time.sleep(random.uniform(0, 0.05))
            os.kill(writer, signal.SIGKILL)
            while process.stdout.readline() not in ("killed\n", ""):
                pass
            found = checkpoint.newest(tmp_path)
            assert (found.arrays["a"] == found.state.step).all()
            assert found.state.step >= 4


def test_full_disk_is_reported_and_the_last_checkpoint_kept(tmp_path, monkeypatch):
    said = []
    writer = checkpoint.Writer(run_with_checkpoints(tmp_path), said.append)
    writer.write(ARRAYS, state(1), FINGERPRINT)
    writer.finish()
    full = type("usage", (), {"free": 100})
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda folder: full)
    writer.write(ARRAYS, state(2), FINGERPRINT)
    assert "none is written until space is freed; the last one is kept" in said[0]
    monkeypatch.undo()

    def no_room(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(verified_npz.os, "fsync", no_room)
    writer.write(ARRAYS, state(3), FINGERPRINT)
    writer.finish()
    assert "No space left on device" in said[1]
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["step_000000001.npz"]
    assert checkpoint.newest(tmp_path).state == state(1)


@pytest.mark.parametrize("place", ["directory", "digest", "name"])
def test_flipped_bit_falls_back_to_the_previous_checkpoint(tmp_path, place):
    newest = run_with_checkpoints(tmp_path, 5, 10) / FOLDER / "step_000000010.npz"
    whole = newest.read_bytes()
    index = {"directory": whole.rindex(b"PK\1\2") + 10, "digest": len(whole) - 1, "name": whole.rindex(b"counters")}
    newest.write_bytes(whole[: index[place]] + bytes([whole[index[place]] ^ 4]) + whole[index[place] + 1 :])
    said = []
    assert checkpoint.newest(tmp_path, said.append).state.step == 5
    assert len(said) == 1
    assert "its bytes do not match its digest" in said[0]


def test_checkpoint_without_digest_is_refused_with_a_remedy(tmp_path):
    """As written by versions before digests."""
    np.savez(run_with_checkpoints(tmp_path) / FOLDER / "step_000000010.npz", a=np.zeros(3))
    with pytest.raises(RunError, match=r"before digests.*resume it with that version.*train\.start_from"):
        checkpoint.newest(tmp_path)


def test_checkpoint_of_the_format_before_train_state_is_read(tmp_path):
    """Its progress is stored by callback names, and its recipe has keys that have been renamed since."""
    parts = {
        "position": {"epoch": 2, "step": 5},
        "record": {"seconds": 1.5},
        "history": {"rows": [{"loss": 0.5}]},
        "best": {"epoch": 1, "score": [0.75, -0.5]},
        "patience": {"waited": 3},
        "drop": {"waited": 2},
        "budget": {"used": 9.5, "per_image": 0.25, "measured": True, "ended": False},
    }
    recipe = {"name": "x", "train": {"epochs": 3, "learning_rate": 0.1, "early_stopping": 3, "loggers": ["wandb"]}}
    path = run_with_checkpoints(tmp_path) / FOLDER / "step_000000025.npz"
    verified_npz.write(path, ARRAYS, {"recipe": recipe, "data": {"n": 1}, "steps_per_epoch": 10, "parts": parts})
    found = checkpoint.newest(tmp_path)
    assert found.state == TrainState(
        steps_per_epoch=10,
        epoch=2,
        step=5,
        epoch_seconds=1.5,
        history=[{"loss": 0.5}],
        best_epoch=1,
        best_score=[0.75, -0.5],
        epochs_without_improvement=3,
        epochs_at_this_rate=2,
        seconds=9.5,
        seconds_per_image=0.25,
        validation_timed=True,
        stop_reason="no better validation for 3 epochs",
    )
    assert found.fingerprint.recipe["optimizer"] == {"learning_rate": 0.1}


def test_checkpoint_of_another_recipe_or_data_names_the_difference(tmp_path):
    found = checkpoint.newest(run_with_checkpoints(tmp_path, 5))
    found.require(dataclasses.replace(FINGERPRINT, recipe={**FINGERPRINT.recipe, "logging": {"loggers": ["wandb"]}}))
    with pytest.raises(RunError, match=r"another training: train\.epochs was 3 and is 4; use the same recipe"):
        found.require(dataclasses.replace(FINGERPRINT, recipe={**FINGERPRINT.recipe, "train": {"epochs": 4}}))
    with pytest.raises(RunError, match=r"data\.training_images was 9 and is 8"):
        found.require(dataclasses.replace(FINGERPRINT, data={"training_images": 8}))


def test_state_with_unknown_fields_is_refused():
    with pytest.raises(RunError, match="has momentum, which this version"):
        TrainState.of({**state(1).record(), "momentum": 1})


def test_weight_file_is_refused_as_a_checkpoint(tmp_path):
    write_weights(tmp_path / "best.npz", [np.zeros(2)], epoch=3)
    with pytest.raises(RunError, match=r"has weights but no training state; give a file step_"):
        Checkpoint.read(tmp_path / "best.npz")
    weights, about = read_weights(tmp_path / "best.npz")
    assert about == {"epoch": 3}
    assert (weights[0] == 0).all()

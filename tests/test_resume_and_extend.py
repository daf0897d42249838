"""`resume`, `extend` and `train.start_from`, by the Python functions and by the command line."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes._support.locks import NAME
from cnnrecipes.debug.examined_training import opened_subject
from cnnrecipes.runs import checkpoint, verified_npz
from cnnrecipes.runs.extension import copy_start, extended
from cnnrecipes.runs.weights import read_weights
from cnnrecipes.verify.resume_check import differences

RANDOM = np.random.default_rng(0)
LABELS = np.arange(60) % 2
IMAGES = (RANDOM.integers(0, 100, (60, 8, 8, 3)) + 150 * LABELS[:, None, None, None]).astype(np.uint8)
DATA = (IMAGES, LABELS)
SMALL = {
    "model.name": "resnet8",
    # One of its three stages, no events of TensorBoard and no reports, which have tests of their own.
    "model.depths": (1,),
    "model.widths": (16,),
    "logging.loggers": [],
    "logging.report": "off",
    "data.image_size": 8,
    "data.batch_size": 16,
    "train.epochs": 3,
    "optimizer.warmup": "0 epochs",
    "augment.ops": ["mixup"],
    "logging.checkpoint_every": "1 steps",
    "devices.steps_per_execution": 1,
}
PLAIN = {"augment.ops": []}  # of trainings that no test continues; mixing takes the longest to trace


def fit(folder, **changes):
    return cr.fit("resnet20_cifar", data=DATA, workdir=folder, progress=False, **{**SMALL, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of three epochs; read-only for tests."""
    return fit(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def stopped(finished, tmp_path):
    """The same run as a kill between its last two checkpoints leaves it."""
    folder = shutil.copytree(finished.folder, tmp_path / finished.folder.name)
    for name in ("model.keras", "metrics.json"):
        (folder / name).unlink()
    paths = checkpoint.found(folder)
    assert len(paths) == 2
    paths[0].unlink()
    return folder


def test_resume_after_a_kill_and_ctrl_c_during_the_evaluation_is_bit_exact(finished, stopped, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cnnrecipes.training.run_folder.evaluate", interrupted)
        with pytest.raises(cr.Interrupted, match=f"its evaluation; `cnnrecipes resume {stopped}` continues"):
            cr.resume(stopped, data=DATA, progress=False)
    run = cr.resume(stopped, data=DATA, progress=False)
    assert run.finished
    assert differences(finished, run) == []
    assert run.metrics == finished.metrics
    assert run.predict(IMAGES[0]).probabilities == finished.predict(IMAGES[0]).probabilities
    for split, kept in finished.kept_predictions().items():
        np.testing.assert_array_equal(run.predictions(split).probabilities, kept.probabilities)


def test_resume_falls_back_to_the_previous_checkpoint_and_accepts_other_execution_settings(finished, stopped, capsys):
    """The newest checkpoint is damaged, and the recipe has been edited where it may be."""
    toml = stopped / "recipe.toml"
    changed = toml.read_text().replace('checkpoint_every = "1 steps"', 'checkpoint_every = "1 h"')
    toml.write_text(changed.replace("steps_per_execution = 1", "steps_per_execution = 3"))
    newest = stopped / "checkpoints" / "step_000000009.npz"
    newest.write_bytes((finished.folder / "checkpoints" / "step_000000009.npz").read_bytes()[:-3000])
    run = cr.resume(stopped, data=DATA, progress=True)
    assert "the one before it is used" in capsys.readouterr().out
    assert differences(finished, run) == []


def test_extend_on_a_full_disk_leaves_no_partial_weights(finished, tmp_path, monkeypatch):
    def half(source, target):
        Path(target).write_bytes(Path(source).read_bytes()[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    longer, start = extended(finished, 1, "constant", 0.01)
    monkeypatch.setattr(shutil, "copyfile", half)
    with pytest.raises(cr.RunError, match="No space left"):
        copy_start(start, cr.Run.create(tmp_path, longer))
    assert not list(tmp_path.rglob("*best.npz"))


def test_resume_without_a_checkpoint_restarts_from_step_zero(finished, stopped):
    shutil.rmtree(stopped / "checkpoints")
    (stopped / "checkpoints").mkdir()
    assert differences(finished, cr.resume(stopped, data=DATA, progress=False)) == []


def test_resume_raises_for_finished_runs_and_other_data_or_recipes(finished, stopped, tmp_path):
    with pytest.raises(cr.RunError, match="is finished; `cnnrecipes extend`"):
        cr.resume(finished.folder)
    with pytest.raises(cr.RunError, match="is not a run folder"):
        cr.resume(tmp_path / "nothing")
    with pytest.raises(cr.RunError, match="by its path; give the path of a run folder, not 7"):
        cr.resume(7)
    with pytest.raises(cr.RunError, match=r"data.training_images was 54 and is 46"):
        cr.resume(stopped, data=(IMAGES[:50], LABELS[:50]), progress=False)
    toml = stopped / "recipe.toml"
    toml.write_text(toml.read_text().replace("learning_rate = 0.1", "learning_rate = 0.2"))
    with pytest.raises(cr.RunError, match=r"optimizer.learning_rate was 0.1 and is 0.2; use the same recipe and data"):
        cr.resume(stopped, data=DATA, progress=False)
    with pytest.raises(cr.RunError, match="is not finished; `cnnrecipes resume"):
        cr.extend(stopped, 2, schedule="restart", data=DATA)


def test_extend_continues_a_finished_run_in_a_new_folder(finished, tmp_path):
    before = {path: path.read_bytes() for path in finished.folder.rglob("*") if path.is_file()}
    options = {"data": DATA, "workdir": tmp_path, "progress": False}
    stretched = cr.extend(finished.folder, 2, schedule="stretch", **options)
    restarted = cr.extend(finished.folder, 2, schedule="restart", **options)
    assert {path: path.read_bytes() for path in finished.folder.rglob("*") if path.is_file()} == before
    # Of the last step of each epoch, of three steps: 11 and 14 from the start, 2 and 5 from the restart.
    for run, share in ((stretched, np.array([11, 14]) / 15), (restarted, np.array([2, 5]) / 6)):
        assert run.history.epoch.tolist() == [1, 2, 3, 4, 5]
        assert run.history.iloc[:3].equals(finished.history)
        np.testing.assert_allclose(run.history.learning_rate[3:], 0.1 * (1 + np.cos(np.pi * share)) / 2, rtol=1e-5)
    again = cr.extend(restarted, 2, schedule="constant", learning_rate=1e-3, **options)
    assert again.recipe.train.epochs == 7
    assert len(again.recipe.optimizer.extensions) == 2
    assert again.history.iloc[:5].equals(restarted.history)
    np.testing.assert_allclose(again.history.learning_rate[5:], 1e-3, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0, "schedule": "restart"}, "cannot be extended by 0 epochs"),
        ({"epochs": 2, "schedule": "restrt"}, "unknown extension of the schedule.*restart"),
        ({"epochs": 2, "schedule": "constant"}, "learning_rate is required for schedule='constant'"),
        ({"epochs": 2, "schedule": "restart", "learning_rate": 0.1}, "not allowed for others"),
    ],
)
def test_invalid_extension_is_refused(finished, tmp_path, options, words):
    with pytest.raises(cr.RecipeError, match=words):
        cr.extend(finished, **options, data=DATA, workdir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_run_is_locked_while_another_process_trains_it_and_then_resumes_with_changed_keys(finished, stopped):
    program = "import sys; from cnnrecipes._support.locks import locked\n"  # without TensorFlow
    program += "with locked(sys.argv[1]) as free: print('held' if free else 'not free', flush=True); input()"
    command = [sys.executable, "-c", program, str(stopped / NAME)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    before = {path.name: path.read_bytes() for path in (stopped / "checkpoints").iterdir()}
    with pytest.raises(cr.RunError, match="is being trained by another process"):
        cr.resume(stopped, data=DATA, progress=False)
    assert {path.name: path.read_bytes() for path in (stopped / "checkpoints").iterdir()} == before
    holder.kill()
    holder.wait()
    changes = {"logging.checkpoint_every": "1 h", "devices.on_oom": "halve", "train.epochs": 3}
    run = cr.resume(stopped, DATA, progress=False, **changes)
    assert differences(finished, run) == []
    recorded = cr.load(stopped).recipe
    assert (str(recorded.logging.checkpoint_every), recorded.devices.on_oom) == ("1 h", "halve")


def test_resume_refuses_other_images_with_the_same_labels(stopped):
    with pytest.raises(cr.RunError, match="data.sample_of_images was '[0-9a-f]{16}' and is"):
        cr.resume(stopped, data=(255 - IMAGES, LABELS), progress=False)


def test_start_from_a_finished_run_copies_its_weights(finished, tmp_path):
    frozen = {"optimizer.learning_rate": 1e-12, "optimizer.weight_decay": 0.0, "train.start_from": str(finished.folder)}
    run = fit(tmp_path, **frozen, **{"train.artifact": "last"})
    for weight, old in zip(run.model.trainable_weights, finished.model.trainable_weights, strict=True):
        np.testing.assert_allclose(weight.numpy(), old.numpy(), atol=1e-6)
    assert run.history.epoch.tolist() == [1, 2, 3]
    with pytest.raises(cr.RunError, match=r"has shape \(16, 2\) there, and \(16, 3\) in resnet8 here"):
        cr.fit(
            "resnet20_cifar",
            data=(IMAGES, np.arange(60) % 3),
            workdir=tmp_path,
            progress=False,
            **{**SMALL, "train.start_from": str(finished.folder)},
        )


def test_start_from_a_checkpoint_or_an_unfinished_run_copies_its_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Dropout keeps the state of its random numbers between the weights.
    old = fit("old", **PLAIN, **{"model.dropout": 0.2, "train.artifact": "last", "train.epochs": 1})
    (old.folder / "metrics.json").unlink()
    for start in (old.folder, max(old.folder.glob("checkpoints/step_*.npz"))):
        keys = {**SMALL, **PLAIN, "model.dropout": 0.2, "train.start_from": str(start)}
        with opened_subject("resnet20_cifar", DATA, changes=keys) as job:
            started = job.model.inner.get_weights()
        for weight, before in zip(started, old.model.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, before)
        assert Path(job.recipe.train.start_from).is_absolute()


def test_start_from_a_run_without_checkpoint_raises(finished, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "run", ignore=shutil.ignore_patterns("*.npz", "metrics.json"))
    with pytest.raises(cr.RunError, match="stopped before it wrote a checkpoint"):
        fit(tmp_path / "new", **{"train.start_from": str(tmp_path / "run")})
    assert not (tmp_path / "new").exists()


def test_resume_of_a_run_with_start_from_does_not_need_the_old_run(finished, tmp_path, monkeypatch):
    """Killed before its first checkpoint, with the old run deleted: bit-identical to an undisturbed training."""

    class Killed(BaseException):
        pass

    def kill(*arguments, **options):
        raise Killed

    old = Path(shutil.copytree(finished.folder, tmp_path / "old"))
    start = {"train.start_from": str(old / "checkpoints" / "best.npz"), "train.epochs": 1}
    whole = fit(tmp_path / "whole", **start)
    with monkeypatch.context() as patch:
        patch.setattr("cnnrecipes.training.trainer.Trainer.fit", kill)
        with pytest.raises(Killed):
            fit(tmp_path / "killed", **start)
    shutil.rmtree(old)
    (killed,) = (tmp_path / "killed").iterdir()
    assert not checkpoint.found(killed)
    kept, _ = read_weights(killed / "start_from.npz")
    for array, weight in zip(kept, finished.model.weights, strict=True):
        np.testing.assert_array_equal(array, weight.numpy())
    assert differences(whole, cr.resume(killed, DATA, progress=False)) == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: np.savez(path, kernel=np.zeros(3)), "not a checkpoint of cnnrecipes.*load_state_dict"),
        (lambda path: path.write_bytes(b"PK\x03\x04 half"), "is damaged"),
        (lambda path: None, "does not exist; give a run, a checkpoint or a model.keras"),
        (lambda path: verified_npz.write(path, {"optimizer/00000": np.zeros(3)}, {}), "holds no weights of a model"),
    ],
)
def test_start_from_a_file_without_weights_raises(tmp_path, make, words):
    make(tmp_path / "some.npz")
    with pytest.raises(cr.RunError, match=f"some.npz.*{words}"):
        fit(tmp_path / "runs", **{"train.start_from": str(tmp_path / "some.npz")})
    assert not (tmp_path / "runs").exists()


def test_resume_refuses_changes_of_other_keys_than_devices_and_logging(finished, stopped):
    with pytest.raises(
        cr.RunError,
        match=r"train.epochs \(3 to 5\) cannot change; only keys of \[devices\] and \[logging\] can.*extend",
    ):
        cr.resume(stopped, DATA, progress=False, **{"train.epochs": 5, "devices.on_oom": "halve"})
    with pytest.raises(cr.RecipeError, match="unknown key 'train.epoch'"):
        cr.resume(stopped, DATA, progress=False, **{"train.epoch": 5})
    assert cr.Run(stopped).recipe == finished.recipe


def test_predict_of_an_unfinished_run_warns_and_uses_its_best_weights(finished, stopped):
    with pytest.warns(
        cr.CNNRecipesWarning, match=rf"not finished: these are the weights of epoch \d, the best so far; .*{stopped}"
    ):
        found = cr.load(stopped).predict(IMAGES[:5])
    assert found == finished.predict(IMAGES[:5])
    (stopped / "checkpoints" / "best.npz").unlink()
    with pytest.warns(cr.CNNRecipesWarning, match="its last checkpoint"):
        assert len(cr.load(stopped).predict(IMAGES[:5])) == 5
    shutil.rmtree(stopped / "checkpoints")
    with pytest.raises(cr.RunError, match="has no checkpoint yet"):
        cr.load(stopped).predict(IMAGES[:5])
    (stopped / "model.json").write_text("{}")
    with pytest.raises(cr.RunError, match=r"its model\.json cannot be read"):
        cr.load(stopped).predict(IMAGES[:5])


def test_time_budget_ends_training_in_time_with_a_complete_artifact(tmp_path):
    start = time.monotonic()
    run = fit(
        tmp_path, **PLAIN, **{"train.time_budget": "8 s", "train.epochs": 100_000, "devices.steps_per_execution": 3}
    )
    taken = time.monotonic() - start
    assert taken < 58  # 8, and what a busy machine may add after the last check of the clock
    assert run.predict(IMAGES[0]).name in ("0", "1")
    rates = run.history.learning_rate
    assert rates.iloc[-1] < 0.02 * rates.max()
    assert (np.diff(rates) <= 1e-9).all()
    assert 3 < len(run.history) < 100_000


def test_time_budget_over_within_the_first_epoch_is_reported(tmp_path, capsys):
    run = cr.fit(
        "resnet20_cifar",
        data=DATA,
        workdir=tmp_path,
        **{**SMALL, **PLAIN, "train.time_budget": "1 s", "train.epochs": 9},
    )
    assert "the time budget of 1 s is over after step 1 of the first epoch's 3" in capsys.readouterr().out
    assert run.metrics["epoch"] == 1
    assert run.predict(IMAGES[0]).name in ("0", "1")


def test_out_of_memory_error_is_explained_and_on_oom_halves_microbatches(tmp_path, monkeypatch, capsys):
    """TensorFlow's own error, from a step that allocates more than any machine has."""
    import tensorflow as tf

    from cnnrecipes.training.training_step import TrainModel

    computed = TrainModel._microbatch

    def greedy(self, images, labels):
        if images.shape[0] > 8:
            # 2^52 bytes. The sizes are not known before the step runs.
            side = tf.size(images) * 0 + 2**25
            tf.debugging.assert_greater(tf.reduce_sum(tf.random.uniform([side, side])), -1.0)
        return computed(self, images, labels)

    monkeypatch.setattr(TrainModel, "_microbatch", greedy)
    with pytest.raises(cr.OutOfMemory, match=r"batches of 16 of resnet8 .*train.microbatches=2.*devices.on_oom=halve"):
        fit(tmp_path, **PLAIN)
    capsys.readouterr()
    one = {**PLAIN, "model.norm": "group", "train.epochs": 1}
    halving = {**SMALL, **one, "devices.on_oom": "halve"}
    models, alive, init = [], [], TrainModel.__init__

    def count(self, *arguments, **options):
        alive.append(sum(reference() is not None for reference in models))
        init(self, *arguments, **options)
        models.append(weakref.ref(self))

    monkeypatch.setattr(TrainModel, "__init__", count)
    run = cr.fit("resnet20_cifar", data=DATA, workdir=tmp_path, **halving)
    assert "each batch is computed in 2 microbatches" in capsys.readouterr().out
    assert alive == [0, 0]  # the memory of a model is released before the next one is built
    monkeypatch.undo()
    same = fit(tmp_path, **one, **{"train.microbatches": 2})
    np.testing.assert_array_equal(run.history.loss, same.history.loss)
    whole = fit(tmp_path, **one)
    np.testing.assert_allclose(run.history.loss, whole.history.loss, rtol=1e-4)


@pytest.fixture(scope="module")
def in_float32(tmp_path_factory):
    """A run of six epochs in single precision."""
    return fit(tmp_path_factory.mktemp("float32"), **PLAIN, **{"train.epochs": 6})


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_model_trained_in_half_precision_is_saved_in_float32(in_float32, tmp_path, precision):
    run = fit(tmp_path, **PLAIN, **{"train.precision": precision, "train.epochs": 6})
    assert run.metrics["validation"]["accuracy"] == 1
    assert {layer.compute_dtype for layer in run.model.layers} == {"float32"}
    np.testing.assert_allclose(run.history.loss.iloc[0], in_float32.history.loss.iloc[0], rtol=0.02)


def test_missing_wandb_raises_before_the_run_folder_is_created(tmp_path):
    import importlib.util

    if importlib.util.find_spec("wandb"):
        pytest.skip("wandb is installed")
    with pytest.raises(cr.TrainingError, match="pip install"):
        fit(tmp_path / "runs", **{"logging.loggers": ["wandb"]})
    assert not (tmp_path / "runs").exists()


def command(*arguments):
    return [sys.executable, "-m", "cnnrecipes", *map(str, arguments)]


ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}


def test_ctrl_c_on_the_command_line_saves_a_checkpoint(tmp_path):
    small = ("model.depths=[1]", "model.widths=[16]", "logging.loggers=[]")
    process = subprocess.Popen(
        command("fit", "resnet8_digits", "train.epochs=500", *small, "--workdir", tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    for line in process.stdout:
        if line.startswith("epoch   3/500"):
            process.send_signal(signal.SIGINT)
            break
    said, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopping after this step" in said
    (run,) = tmp_path.iterdir()
    assert f"cnnrecipes resume {run}" in error.splitlines()[-1]
    assert len(error.splitlines()[-1]) < 300
    state = checkpoint.newest(run).state
    assert state.epoch >= 3
    facts = json.loads((run / "environment.json").read_text())
    assert facts["packages"]["keras"]

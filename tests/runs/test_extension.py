"""`extend`: train a finished run for more epochs in a new run folder."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.keras_optim.recipe_schedule import build_schedule as planned
from cnnrecipes.runs import checkpoint
from cnnrecipes.runs.extension import extended
from cnnrecipes.runs.weights import read_weights

RANDOM = np.random.default_rng(0)
LABELS = np.arange(60) % 2
IMAGES = (RANDOM.integers(0, 100, (60, 8, 8, 3)) + 150 * LABELS[:, None, None, None]).astype(np.uint8)
PLATEAU = {"optimizer.schedule": "plateau(patience=1, factor=0.1)", "optimizer.learning_rate": 1e-9}
SMALL = {
    "model.name": "resnet8",
    "model.depths": (1,),
    "model.widths": (16,),
    "data.image_size": 8,
    "data.batch_size": 16,
    "augment.ops": [],
    "logging.loggers": [],
}
EXTENDED = {"schedule": "constant", "learning_rate": 0.01, "data": (IMAGES, LABELS), "progress": False}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> cr.Run:
    """Four epochs at a negligible learning rate, which a plateau schedule lowers; no momentum outlasts it."""
    small = {**SMALL, "optimizer.momentum": 0.0}
    return cr.fit(
        "resnet20_cifar",
        data=(IMAGES, LABELS),
        workdir=tmp_path_factory.mktemp("runs"),
        progress=False,
        **{**small, **PLATEAU, "train.epochs": 4, "optimizer.warmup": "0 epochs", "model.norm": "group"},
    )


def test_restart_begins_with_the_full_learning_rate(finished):
    _, start = extended(finished, 2, "restart", None)
    assert start.arrays["schedule/00000"] == 1
    assert start.state.epochs_at_this_rate == 0


def test_constant_schedule_uses_the_given_rate_and_best_weights_of_the_first_run_are_kept(finished, tmp_path):
    assert finished.history.learning_rate.iloc[-1] < 0.5e-9
    longer = cr.extend(finished, 1, workdir=tmp_path, **{**EXTENDED, "learning_rate": 1e-30})  # changes no weight
    assert longer.history.learning_rate.tolist()[-1] == pytest.approx(1e-30, rel=1e-5, abs=0)
    assert len(longer.history) == 5
    _, best = read_weights(longer.folder / "checkpoints" / "best.npz")
    assert longer.metrics["epoch"] == finished.metrics["epoch"] == best["epoch"]
    assert longer.metrics["weights"] == finished.metrics["weights"]
    np.testing.assert_array_equal(longer.predictions().probabilities, finished.predictions().probabilities)
    assert (longer.folder / "README.md").is_file()
    assert checkpoint.newest(longer.folder).state.epoch == 5


def test_extension_killed_before_its_first_step_is_resumed(finished, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*arguments, **options):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("cnnrecipes.training.trainer.Trainer.fit", kill)
        with pytest.raises(Killed):
            cr.extend(finished, 1, workdir=tmp_path, **EXTENDED)
    (folder,) = tmp_path.iterdir()
    resumed = cr.resume(folder, data=(IMAGES, LABELS), progress=False)
    assert resumed.history.epoch.tolist() == [1, 2, 3, 4, 5]
    columns = ["loss", "val_loss"]
    assert resumed.history[columns][:4].equals(finished.history[columns])
    assert resumed.history.learning_rate.iloc[-1] == pytest.approx(0.01)


def test_other_data_is_refused_before_the_run_folder_is_created(finished, tmp_path):
    with pytest.raises(cr.RunError, match=r"data\.training_images was 54 and is 26"):
        cr.extend(finished, 1, workdir=tmp_path, **{**EXTENDED, "data": (IMAGES[:30], LABELS[:30])})
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def stopped_early(tmp_path_factory) -> cr.Run:
    """Planned for 30 epochs with a warmup of 6, and stopped early in the second."""
    changes = {
        "train.epochs": 30,
        "optimizer.warmup": "6 epochs",
        "train.early_stopping": 1,
        "optimizer.learning_rate": 1e-9,
    }
    milestones = {"optimizer.schedule": "multi_step(['15 epochs', '20 epochs'])"}
    folder = tmp_path_factory.mktemp("early")
    run = cr.fit("resnet20_cifar", (IMAGES, LABELS), workdir=folder, progress=False, **SMALL, **changes, **milestones)
    assert len(run.history) == 2
    return run


def test_extend_after_early_stopping_restarts_the_scaled_schedule(stopped_early, tmp_path):
    """The past keeps its planned schedule, the extension has the shape of the whole one."""
    with pytest.warns(cr.CNNRecipesWarning, match="30 epochs does not fit into 3: its lengths are scaled by 3/30"):
        longer = cr.extend(
            stopped_early, 3, schedule="restart", data=(IMAGES, LABELS), workdir=tmp_path, progress=False
        )
    assert longer.history.epoch.tolist() == [1, 2, 3]  # stopped early again, at this rate
    assert longer.recipe.optimizer.extensions == ("restart(2, planned=30)",)
    # 9 steps: two of warmup, the peak until step 4, then a tenth from each of steps 4 (half) and 6 (two thirds) on.
    found = [float(planned(longer.recipe.optimizer, longer.recipe.train, 3)(6 + step)) for step in range(9)]
    np.testing.assert_allclose(found, 1e-9 * np.array([1 / 3, 2 / 3, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.01]), rtol=1e-5)
    assert longer.history.learning_rate[2] == pytest.approx(1e-9)


@pytest.mark.parametrize("schedule", ["stretch", "constant"])
def test_stretch_and_constant_schedules_work_after_early_stopping(stopped_early, schedule):
    rate = 0.01 if schedule == "constant" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.CNNRecipesWarning)
        recipe, _ = extended(stopped_early, 1, schedule, rate)
    made = planned(recipe.optimizer, recipe.train, 3)
    assert float(made(8)) == pytest.approx(0.01 if rate else 1e-11, rel=1e-5)

"""A finished run that is trained for more epochs, in a new run."""

from __future__ import annotations

import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.extending import extended
from cnnrecipes.fitting import newest
from cnnrecipes.training import checkpoint

RANDOM = np.random.default_rng(0)
LABELS = np.arange(60) % 2
IMAGES = (RANDOM.integers(0, 100, (60, 8, 8, 3)) + 150 * LABELS[:, None, None, None]).astype(np.uint8)
PLATEAU = {"train.schedule": "plateau(patience=1, factor=0.1)", "train.learning_rate": 1e-9}
EXTENDED = {"schedule": "constant", "learning_rate": 0.01, "data": (IMAGES, LABELS), "progress": False}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> cr.Run:
    """Four epochs of a rate that changes nothing, which a plateau lowers."""
    small = {"model.name": "resnet8", "data.image_size": 8, "data.batch_size": 16, "augment.ops": []}
    return cr.fit(
        "resnet20_cifar",
        data=(IMAGES, LABELS),
        workdir=tmp_path_factory.mktemp("runs"),
        progress=False,
        **{**small, **PLATEAU, "train.epochs": 4, "train.warmup": "0 epochs", "model.norm": "group"},
    )


def test_a_constant_rate_is_the_one_that_was_asked_for(finished, tmp_path):
    assert finished.history.learning_rate.iloc[-1] < 0.5e-9
    longer = cr.extend(finished, 1, workdir=tmp_path, **EXTENDED)
    assert longer.history.learning_rate.tolist()[-1] == pytest.approx(0.01)
    assert len(longer.history) == 5


def test_a_restart_begins_with_the_whole_rate(finished):
    _, start = extended(finished, 2, "restart", None)
    assert start.arrays["schedule/00000"] == 1
    assert start.state["parts"]["drop"] == {"waited": 0}


def test_the_best_weights_so_far_stay_the_best(finished, tmp_path):
    said = []
    longer = cr.extend(finished, 1, workdir=tmp_path, **{**EXTENDED, "learning_rate": 1e-12})
    best = checkpoint.read(longer.folder / "checkpoints" / "best.npz")
    assert longer.metrics["epoch"] == finished.metrics["epoch"] == best.state["epoch"]
    assert longer.metrics["weights"] == finished.metrics["weights"]
    assert newest(longer.folder, said.append).state["parts"]["position"]["epoch"] == 5


def test_a_kill_at_the_beginning_does_not_lose_the_first_run(finished, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("cnnrecipes.training.loop.train", kill)
        with pytest.raises(Killed):
            cr.extend(finished, 1, workdir=tmp_path, **EXTENDED)
    (folder,) = tmp_path.iterdir()
    resumed = cr.resume(folder, data=(IMAGES, LABELS), progress=False)
    assert resumed.history.epoch.tolist() == [1, 2, 3, 4, 5]
    columns = ["loss", "val_loss"]
    assert resumed.history[columns][:4].equals(finished.history[columns])
    assert resumed.history.learning_rate.iloc[-1] == pytest.approx(0.01)


def test_other_data_is_refused_before_there_is_a_folder(finished, tmp_path):
    with pytest.raises(cr.RunError, match=r"data\.training_images was 54 and is 26"):
        cr.extend(finished, 1, workdir=tmp_path, **{**EXTENDED, "data": (IMAGES[:30], LABELS[:30])})
    assert not list(tmp_path.iterdir())

"""The diagnosis during a training: one line at a change, a sentence at the end, and the same bits as without it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from training_curves import recipe

import cnnrecipes as cr
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.runs.watch_records import BINS, WatchFile
from cnnrecipes.training.callbacks import live_diagnosis
from cnnrecipes.training.callbacks.live_diagnosis import LiveDiagnosis


class Curves:
    """The callback on a history that is given row by row, without a training."""

    def __init__(
        self,
        epochs: int = 30,
        state: TrainState | None = None,
        watch: WatchFile | None = None,
        folder: Path | None = None,
        labels: Sequence[int] = tuple(i % 10 for i in range(1000)),
    ):
        pipeline = SimpleNamespace(
            class_names=list("abcdefghij"),
            image_shape=(8, 8, 1),
            train=SimpleNamespace(labels=np.array(labels)),
            source=SimpleNamespace(split=lambda name: SimpleNamespace(labels=np.arange(1000) % 10)),
            images=lambda *splits: 1000,
        )
        plan = SimpleNamespace(trains_by_steps=True)
        self.job = SimpleNamespace(recipe=recipe(**{"train.epochs": epochs}), pipeline=pipeline, plan=plan)
        self.said: list[str] = []
        self.state = state or TrainState(10)
        self.callback = LiveDiagnosis(self.job, self.state, self.said.append, watch, folder)
        self.callback.on_train_begin()

    def epoch(self, loss, accuracy, val_loss, val_accuracy) -> None:
        number = len(self.state.history)
        row = {"loss": loss, "accuracy": accuracy, "val_loss": val_loss, "val_accuracy": val_accuracy}
        self.state.history.append({"epoch": number + 1, "learning_rate": 0.1, **row})
        self.callback.on_epoch_end(number)


def overfit(curves: Curves, epochs) -> None:
    for i in epochs:
        curves.epoch(2 * 0.7**i, 1 - 0.8 * 0.7**i, 1 + 0.05 * max(i - 5, 0), min(0.3 + 0.07 * i, 0.6))


def test_change_of_the_verdict_is_told_once():
    curves = Curves()
    overfit(curves, range(25))
    assert len(curves.said) == 1
    assert ": diagnosis: overfitting since epoch" in curves.said[0]
    assert "try augment.ops=" in curves.said[0]


def test_collapse_is_suspected_by_the_classes_of_the_validation_images():
    """Nearly all training images are of one class, and the validation images have the ten classes evenly."""
    labels = [0] * 910 + [1 + i % 9 for i in range(90)]
    said = {}
    for accuracy in (0.1, 0.72):
        curves = Curves(labels=labels)
        for _ in range(8):
            curves.epoch(0.3, 0.92, 2.0, accuracy)
        said[accuracy] = live_diagnosis.closing_sentence(curves.job, curves.state)
    assert "10.0%, is that of always answering it (10.0%)" in said[0.1]
    assert "always answering" not in said[0.72]


def test_resume_does_not_tell_it_again():
    curves = Curves()
    overfit(curves, range(15))
    resumed = Curves(state=curves.state)
    overfit(resumed, range(15, 25))
    assert len(curves.said) == 1
    assert resumed.said == []


def test_last_epoch_is_left_to_the_closing_sentence():
    curves = Curves(epochs=3)
    overfit(curves, range(3))
    assert curves.said == []


def test_remedies_name_the_run_folder():
    curves = Curves(folder=Path("runs/a run"))
    for _ in range(25):
        curves.epoch(2.303, 0.1, 2.303, 0.1)
    command = "try cnnrecipes overfit 'runs/a run/recipe.toml' --data DATA"
    assert [command in said for said in curves.said] == [True]
    assert command in live_diagnosis.closing_sentence(curves.job, curves.state, curves.callback.folder)


def test_dead_layers_of_the_watch_are_told_and_closed_with(tmp_path):
    file = WatchFile(tmp_path / "watch.csv")
    curves = Curves(epochs=8, watch=file)
    numbers = dict.fromkeys(("mean", "std", "nonfinite", "gradient_norm", "weight_norm", "update_ratio", *BINS), 0)
    for i in range(8):
        curves.state.epoch = i + 1
        file.add(10 * i + 9, [{"layer": "act1", "kind": "activation", "dead": 0.9, **numbers}])
        curves.epoch(2 * 0.4**i, 1 - 0.8 * 0.4**i, 2.1 * 0.4**i, 1 - 0.82 * 0.4**i)
    assert len(curves.said) == 1
    assert "dead channels: most channels are dead in act1 (90%)" in curves.said[0]
    closing = live_diagnosis.closing_sentence(curves.job, curves.state, tmp_path)
    assert "most channels are dead in act1" in closing
    assert "healthy" in live_diagnosis.closing_sentence(curves.job, curves.state)


def test_error_of_the_diagnosis_is_told_once_and_ends_nothing(monkeypatch):
    def failing(*arguments):
        raise ValueError("zero-size array")

    monkeypatch.setattr(live_diagnosis, "diagnosed", failing)
    curves = Curves()
    overfit(curves, range(10))
    assert len(curves.said) == 1
    assert "zero-size array" in curves.said[0]
    assert "zero-size array" in live_diagnosis.closing_sentence(curves.job, curves.state)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same training with and without progress."""
    folder = tmp_path_factory.mktemp("runs")
    changes = {"train.epochs": 3, "optimizer.warmup": "0 epochs", "logging.loggers": [], "data.test": 0.5}
    return {
        progress: cr.fit("resnet8_digits", workdir=folder, name=str(progress), progress=progress, **changes)
        for progress in (True, False)
    }


def test_diagnosis_changes_no_bit(runs):
    assert runs[True].metrics == runs[False].metrics
    names = [{path.name for path in (run.folder / "checkpoints").iterdir()} for run in runs.values()]
    assert names[0] == names[1]
    columns = ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert runs[True].history[columns].equals(runs[False].history[columns])


def test_fit_names_its_folder_in_the_remedies(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    numbers = np.random.default_rng(0)
    noise = numbers.integers(0, 256, (400, 8, 8, 1), np.uint8), numbers.integers(0, 10, 400)
    changes = {"train.epochs": 8, "optimizer.weight_decay": 10.0, "optimizer.warmup": "0 epochs", "logging.loggers": []}
    cr.fit("resnet8_digits", noise, name="noise", **changes)
    out = " ".join(capsys.readouterr().out.split())
    assert "try cnnrecipes overfit runs/noise/recipe.toml --data DATA" in out


def test_fit_ends_with_a_sentence(tmp_path, capsys):
    changes = {"train.epochs": 1, "optimizer.warmup": "0 epochs", "logging.loggers": [], "data.test": 0.5}
    cr.fit("resnet8_digits", workdir=tmp_path, **changes)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("diagnosis: ")]
    assert len(lines) == 1
    assert "one epoch shows no trend" in lines[0]
    cr.fit("resnet8_digits", workdir=tmp_path, progress=False, **changes)
    assert capsys.readouterr().out == ""

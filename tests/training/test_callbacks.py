"""What stands beside the steps, in real trainings of a tiny model."""

from __future__ import annotations

import io

import keras
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from cnnrecipes import recipe
from cnnrecipes.data import pipeline
from cnnrecipes.data.sources import open_source
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.errors import TrainingError
from cnnrecipes.files import write_whole
from cnnrecipes.training import loop
from cnnrecipes.training.callbacks import EpochRecord
from cnnrecipes.training.progress import ProgressDisplay

RANDOM = np.random.default_rng(0)
LABELS = np.arange(150) % 3
IMAGES = (RANDOM.integers(0, 120, (150, 4, 4, 1)) + 60 * LABELS[:, None, None, None]).astype(np.uint8)


def trained(folder, callbacks=(), **changes):
    """A linear model's training as a run does it: the model, the validation split, the epoch that was kept."""
    whole = recipe.Recipe.from_dict(
        {
            "data": {"name": "arrays", "batch_size": 16, "validation": 0.3},
            "model": {"name": "resnet8"},
            "train": {"epochs": 3, "learning_rate": 0.01, **changes},
        },
        "test",
    )
    source = open_source((IMAGES, LABELS), whole.data)
    train, validation = source.split("train"), source.split("validation")
    statistics = Statistics((120.0,), (60.0,))
    with loop.seeded(0):
        layers = [keras.Input((4, 4, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
        model = keras.Sequential([*layers, keras.layers.Dense(3)])
        loop.compile_model(model, whole.train, pipeline.steps_per_epoch(train, whole.data))
        batches = pipeline.training_batches(train, whole, statistics, 3)
        (folder / "checkpoints").mkdir()
        evaluation = pipeline.evaluation_batches(validation, whole.data, 3)
        epoch = loop.train(model, batches, evaluation, whole.train, folder, progress=False)
    return model, validation, epoch


def cross_entropy(model, split):
    logits = model.predict(np.stack([split.read(i)[0] for i in range(len(split))]), verbose=0).astype(float)
    shifted = logits - logits.max(axis=1, keepdims=True)
    picked = shifted[np.arange(len(split)), split.labels] - np.log(np.exp(shifted).sum(axis=1))
    return -picked.mean(), np.mean(logits.argmax(axis=1) == split.labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_val_loss_is_the_cross_entropy_over_the_validation_split(tmp_path, smoothing):
    """Neither what fills up the last batch (45 = 32 + 13) nor label smoothing enters it."""
    model, validation, _ = trained(tmp_path, artefact="last", label_smoothing=smoothing)
    assert len(validation) == 45
    row = pd.read_csv(tmp_path / "history.csv").iloc[-1]
    assert (row.val_loss, row.val_accuracy) == pytest.approx(cross_entropy(model, validation), rel=1e-4)


def test_history_has_a_row_an_epoch_and_the_best_weights_are_kept(tmp_path):
    model, validation, epoch = trained(tmp_path)
    history = pd.read_csv(tmp_path / "history.csv")
    assert history.epoch.tolist() == [1, 2, 3]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds", "images_per_second"} <= set(
        history.columns
    )
    best = history.sort_values(["val_accuracy", "val_loss"], ascending=[False, True]).iloc[0]
    assert epoch == best.epoch
    assert (best.val_loss, best.val_accuracy) == pytest.approx(cross_entropy(model, validation), rel=1e-4)
    assert (history.seconds * history.images_per_second > 0.99 * 96).all()


def test_a_diverging_loss_names_the_epoch_and_what_to_try(tmp_path):
    words = r"loss is (nan|inf) in epoch \d.*train\.learning_rate.*train\.warmup"
    with pytest.raises(TrainingError, match=words):
        trained(tmp_path, learning_rate=1e37)


def test_lines_of_a_real_training_say_epoch_accuracy_and_time_left():
    text = io.StringIO()
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    loop.compile_model(model, recipe.Train(epochs=2, learning_rate=1e-6), 5)
    model.fit(
        IMAGES / 255,
        np.eye(3)[LABELS],
        batch_size=30,
        epochs=2,
        verbose=0,
        callbacks=[EpochRecord(30), ProgressDisplay(5, Console(file=text, width=20))],
    )
    lines = text.getvalue().splitlines()
    assert [line.partition("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert all(word in line for line in lines for word in ("loss ", "accuracy ", "images/s", "ETA 0:00:"))
    assert "\x1b" not in text.getvalue()


def test_a_display_is_closed_by_an_error(tmp_path, capsys):
    """A bar that is still drawn would swallow the error's line."""
    text = io.StringIO()
    display = ProgressDisplay(5, Console(file=text, force_terminal=True))
    display.set_params({"epochs": 2})
    display.on_train_begin()
    assert display.bar.live.is_started
    display.close()
    display.close()
    assert not display.bar.live.is_started


def test_an_interrupt_leaves_the_old_file(tmp_path):
    """Whatever stops a writer, also what is no Exception."""
    path = tmp_path / "x.bin"
    write_whole(path, lambda beside: beside.write_bytes(b"old"))

    def stopped(beside):
        beside.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, stopped)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]

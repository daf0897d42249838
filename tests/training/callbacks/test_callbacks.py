"""What stands beside the steps, in real trainings of a tiny model."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from linear_training import LinearTraining
from rich.console import Console

from cnnrecipes._support.atomic_files import write_whole
from cnnrecipes.errors import TrainingError
from cnnrecipes.runs.train_state import TrainState
from cnnrecipes.training.callbacks.epochs import NextEpoch, StepCounter
from cnnrecipes.training.callbacks.progress import ProgressDisplay


def cross_entropy(model, split):
    logits = model.predict(np.stack([split.read(i)[0] for i in range(len(split))]), verbose=0).astype(float)
    shifted = logits - logits.max(axis=1, keepdims=True)
    picked = shifted[np.arange(len(split)), split.labels] - np.log(np.exp(shifted).sum(axis=1))
    return -picked.mean(), np.mean(logits.argmax(axis=1) == split.labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_val_loss_is_the_cross_entropy_over_the_validation_split(tmp_path, smoothing):
    """Neither what fills up the last batch (45 = 32 + 13) nor label smoothing enters it."""
    training = LinearTraining(tmp_path, artifact="last", label_smoothing=smoothing)
    training.run()
    model, validation = training.model, training.validation
    assert len(validation) == 45
    row = pd.read_csv(tmp_path / "history.csv").iloc[-1]
    assert (row.val_loss, row.val_accuracy) == pytest.approx(cross_entropy(model, validation), rel=1e-4)


def test_history_has_a_row_an_epoch_and_the_best_weights_are_kept(tmp_path):
    training = LinearTraining(tmp_path)
    outcome = training.run()
    training.model.set_weights(outcome.weights)
    model, validation, epoch = training.model, training.validation, outcome.epoch
    history = pd.read_csv(tmp_path / "history.csv")
    assert history.epoch.tolist() == [1, 2, 3]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds", "images_per_second"} <= set(
        history.columns
    )
    best = history.sort_values(["val_accuracy", "val_loss"], ascending=[False, True]).iloc[0]
    assert epoch == best.epoch
    assert (best.val_loss, best.val_accuracy) == pytest.approx(cross_entropy(model, validation), rel=1e-4)
    assert (history.seconds * history.images_per_second > 0.99 * 96).all()


@pytest.mark.parametrize("changes", [{}, {"schedule": "step('1 epoch')"}])
def test_a_row_has_the_learning_rate_of_the_epochs_last_step(tmp_path, changes):
    """Not of the next step, where the schedule or the validation has changed it already."""
    training = LinearTraining(tmp_path, **changes)
    training.run()
    found = pd.read_csv(tmp_path / "history.csv").learning_rate
    rates = [float(training.schedule(6 * epoch + 5)) for epoch in range(3)]
    np.testing.assert_allclose(found, rates, rtol=1e-6, atol=1e-8)  # cosines near 0, in a graph and eagerly
    assert found.iloc[-1] > 0


@pytest.mark.parametrize("steps", [None, 1, 4, 100])
def test_a_loss_that_is_no_number_names_the_step_and_what_to_try(tmp_path, steps):
    """The step is found, whatever number of steps is made in a row."""
    training = LinearTraining(tmp_path, learning_rate=1e37, weight_decay=0.0, steps_per_execution=steps)
    place = r"loss is (nan|inf) since step 3 of epoch 1 \(step 3 of the training\)"
    words = rf"{place}.*optimizer\.learning_rate.*optimizer\.warmup"
    with pytest.raises(TrainingError, match=words):
        training.run()


def test_lines_of_a_real_training_say_epoch_accuracy_and_time_left(tmp_path):
    text = io.StringIO()
    state = TrainState(6)
    display = ProgressDisplay(state, 12, Console(file=text, width=20))
    training = LinearTraining(tmp_path, epochs=2, callbacks=[StepCounter(state), display, NextEpoch(state)])
    training.run()
    lines = text.getvalue().splitlines()
    assert [line.partition("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert all(word in line for line in lines for word in ("loss ", "accuracy ", "images/s", "ETA 0:00:"))
    assert "\x1b" not in text.getvalue()


def test_a_display_is_closed_by_an_error(tmp_path, capsys):
    """A bar that is still drawn would swallow the error's line."""
    text = io.StringIO()
    display = ProgressDisplay(TrainState(5), 10, Console(file=text, force_terminal=True))
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

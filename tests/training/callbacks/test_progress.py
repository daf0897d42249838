"""`ProgressDisplay`: one line per epoch without a terminal, a progress bar in one."""

from __future__ import annotations

import io

import tensorflow as tf
from linear_training import LinearTraining
from rich.console import Console

from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.training.callbacks.progress import ProgressDisplay


def test_display_without_a_terminal_prints_plain_lines(tmp_path):
    text = io.StringIO()
    display = ProgressDisplay(state := TrainState(4), 12, Console(file=text))
    display.set_params({"epochs": 3})
    display.on_train_begin()
    for epoch in range(3):
        for batch in range(4):
            state.epoch, state.step = epoch, batch + 1
            display.on_train_batch_end(batch, {"loss": tf.constant(1.5), "accuracy": tf.constant(0.25)})
        numbers = {"val_loss": 1.2, "val_accuracy": 0.5, "images_per_second": 100.0}
        display.on_epoch_end(epoch, {"loss": 1.5, "accuracy": 0.25, **numbers})
    lines = text.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("epoch 2/3  loss 1.5000  accuracy 25.0%  val_loss 1.2000  val_accuracy 50.0%")
    assert lines[2].endswith("ETA 0:00:00")
    assert "\x1b" not in text.getvalue()


def test_display_prints_one_line_per_epoch_with_accuracy_and_eta(tmp_path, capsys):
    training = LinearTraining(tmp_path, epochs=2)
    training.trainer.progress = True
    training.run()
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert [line.partition("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert all(word in line for line in lines for word in ("loss ", "accuracy ", "images/s", "ETA 0:00:"))
    assert "\x1b" not in text


def test_display_is_closed_after_an_error():
    """A live progress bar would overwrite the error message."""
    text = io.StringIO()
    display = ProgressDisplay(TrainState(5), 10, Console(file=text, force_terminal=True))
    display.set_params({"epochs": 2})
    display.on_train_begin()
    assert display.bar.live.is_started
    display.close()
    display.close()
    assert not display.bar.live.is_started

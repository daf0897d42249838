"""Resume is bit-exact: an interrupted and resumed training ends with the weights of an uninterrupted one."""

from __future__ import annotations

import signal

import keras
import numpy as np
import pytest
from linear_training import LinearTraining

from cnnrecipes.errors import Interrupted, RunError
from cnnrecipes.runs import checkpoint

RECIPES = {
    "sgd": {},
    "adamw": {"name": "adamw", "ema": 0.9, "monitor": "loss"},
    "lion": {"name": "lion", "lookahead": 4, "clip_norm": 0.5},
    "plateau": {"schedule": "plateau(patience=1)", "learning_rate": 1e-6, "epochs": 5},
    "patience": {"early_stopping": 2, "epochs": 9, "learning_rate": 1e-9, "label_smoothing": 0.1},
    "schedule_free": {"name": "schedule_free_adamw", "schedule": "constant"},
    "muon": {"name": "muon", "loss": "focal"},
}


class Stop(keras.callbacks.Callback):
    """Raise a signal after the given number of executions."""

    def __init__(self, after: int, number=signal.SIGTERM):
        super().__init__()
        self.left, self.number = after, number

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(self.number)


def state(training: LinearTraining) -> dict[str, bytes]:
    return {
        name: array.tobytes() for name, array in checkpoint.capture(training.train_model.checkpoint_variables()).items()
    }


def without_clock(history):
    return [
        {k: v for k, v in row.items() if k in ("epoch", "loss", "accuracy", "val_loss", "learning_rate")}
        for row in history
    ]


@pytest.mark.parametrize("name", RECIPES)
def test_resume_is_bit_exact_with_dropout(tmp_path, name):
    """Interrupted within the first and within a later epoch; the state of dropout's random numbers is restored."""
    options = {"dropout": 0.3, "steps_per_execution": 1, **RECIPES[name]}
    whole = LinearTraining(tmp_path / "whole", **options)
    expected = whole.run()
    start, folder = None, tmp_path / "stopped"
    for after in (4, 7):
        training = LinearTraining(folder, start=start, callbacks=[Stop(after)], **options)
        with pytest.raises(Interrupted, match="stopped by SIGTERM after step"):
            training.run()
        start = checkpoint.newest(folder)
    assert (start.state.epoch, start.state.step) == (1, 5)
    training = LinearTraining(folder, start=start, **options)
    found = training.run()
    assert state(training) == state(whole)
    assert found.epoch == expected.epoch
    assert without_clock(found.state.history) == without_clock(expected.state.history)
    for one, other in zip(found.weights, expected.weights, strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.fixture(scope="module")
def in_single_steps(tmp_path_factory) -> dict[str, bytes]:
    training = LinearTraining(tmp_path_factory.mktemp("single"), dropout=0.3, steps_per_execution=1)
    training.run()
    return state(training)


@pytest.mark.parametrize("steps", [2, 4, 6, 50])
def test_steps_per_execution_does_not_change_the_result(in_single_steps, tmp_path, steps):
    several = LinearTraining(tmp_path, dropout=0.3, steps_per_execution=steps)
    several.run()
    assert state(several) == in_single_steps


def test_ctrl_c_stops_after_the_current_step(tmp_path):
    training = LinearTraining(tmp_path, callbacks=[Stop(2, signal.SIGINT)], steps_per_execution=1)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="stopped by SIGINT after step 2 of epoch 1"):
        training.run()
    assert signal.getsignal(signal.SIGINT) is before
    assert "a second signal stops at once" in training.said[0]


def test_checkpoint_every_n_steps(tmp_path):
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append({path.name for path in (tmp_path / "checkpoints").glob("step_*")})

    training = LinearTraining(tmp_path, callbacks=[Look()], checkpoint_every="4 steps", steps_per_execution=1)
    training.run()
    assert f"step_{4:09d}.npz" in seen[0]
    assert checkpoint.newest(tmp_path).path.name == f"step_{18:09d}.npz"


def test_checkpoint_of_another_recipe_is_refused(tmp_path):
    LinearTraining(tmp_path).run()
    start = checkpoint.newest(tmp_path)
    with pytest.raises(RunError, match="another training: train.early_stopping was None and is 3"):
        LinearTraining(tmp_path, start=start, early_stopping=3).run()
    with pytest.raises(RunError, match="another training: optimizer.ema was None and is 0.9"):
        LinearTraining(tmp_path, start=start, ema=0.9).run()


def test_resume_of_a_finished_training_makes_no_steps(tmp_path):
    """As after a kill between the last step and the artifact."""
    first = LinearTraining(tmp_path, artifact="last")
    expected = first.run()
    again = LinearTraining(tmp_path, artifact="last", start=checkpoint.newest(tmp_path))
    found = again.run()
    assert found.epoch == expected.epoch == 3
    assert all(np.array_equal(a, b) for a, b in zip(found.weights, expected.weights, strict=True))


def test_early_stopping_survives_resume(tmp_path):
    """Resumed from the last checkpoint of a training that stopped early, it makes no further epochs."""
    options = {"early_stopping": 1, "epochs": 30, "learning_rate": 1e-9}
    expected = LinearTraining(tmp_path, **options).run()
    assert len(expected.state.history) < 30
    found = LinearTraining(tmp_path, start=checkpoint.newest(tmp_path), **options).run()
    assert without_clock(found.state.history) == without_clock(expected.state.history)


def test_damaged_best_weights_are_reported_and_last_weights_used(tmp_path):
    class Damage(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            path = tmp_path / "checkpoints" / "best.npz"
            path.write_bytes(path.read_bytes()[:-50])

    training = LinearTraining(tmp_path, learning_rate=1e-9, epochs=4, callbacks=[Damage()])
    outcome = training.run()
    assert outcome.epoch == 4
    assert "the last weights are used instead" in training.said[-1]

"""Schedules and optimizers against recorded values of PyTorch; seeds, best weights, history."""

from __future__ import annotations

import io
import random
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from rich.console import Console

import cnnrecipes as cr
from cnnrecipes._support.atomic_files import write_whole
from cnnrecipes.keras_optim.recipe_optimizer import RecipeOptimizer, build_optimizer
from cnnrecipes.keras_optim.recipe_schedule import RecipeSchedule, build_schedule
from cnnrecipes.recipe import catalog
from cnnrecipes.runs.train_state import TrainState
from cnnrecipes.runs.weights import read_weights
from cnnrecipes.training.callbacks.epochs import BestWeights
from cnnrecipes.training.callbacks.progress import ProgressDisplay
from cnnrecipes.training.seeding import seeded


def recipe(**changes):
    changes = {"train.epochs": 10, "optimizer.warmup": "0 epochs", "optimizer.learning_rate": 0.4, **changes}
    return catalog.load("resnet20_cifar").change(**changes)


def planned(steps_per_epoch, **changes):
    tables = recipe(**changes)
    return build_schedule(tables.optimizer, tables.train, steps_per_epoch)


def rates(made, steps):
    return np.array([float(made(step)) for step in range(steps)])


def test_cosine_schedule_with_warmup_matches_its_formula():
    found = rates(planned(10, **{"optimizer.warmup": "20%"}), 101)
    steps = np.arange(101)
    falling = 0.2 * (1 + np.cos(np.pi * (steps - 20) / 80))
    np.testing.assert_allclose(found, np.where(steps < 20, 0.4 * (steps + 1) / 21, falling), atol=1e-6)


def test_constant_schedule_stays_constant_after_warmup():
    found = rates(planned(10, **{"optimizer.schedule": "constant", "optimizer.warmup": "10 steps"}), 100)
    np.testing.assert_allclose(found, np.minimum((np.arange(100) + 1) / 11, 1) * 0.4, atol=1e-6)


def test_one_cycle_matches_pytorch():
    # torch 2.13.0: OneCycleLR(SGD(lr=0.4, momentum=0.9), max_lr=0.4, total_steps=20, cycle_momentum=False)
    recorded = [
        0.016, 0.0526687371, 0.148668737, 0.267331263, 0.363331263, 0.4, 0.394985602, 0.380193853, 0.356366471,
        0.324698262, 0.286777201, 0.244504809, 0.2000008, 0.155496791, 0.113224399, 0.0753033384, 0.043635129,
        0.0198077472, 0.00501599751, 1.6e-06,
    ]  # fmt: skip
    made = planned(2, **{"optimizer.schedule": "one_cycle"})
    np.testing.assert_allclose(rates(made, 20), recorded, rtol=1e-4, atol=1e-7)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(made))
    assert isinstance(again, RecipeSchedule)
    np.testing.assert_array_equal(rates(again, 20), rates(made, 20))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer.warmup": "10 epochs"}, "10 epochs.*100 steps of a training of 100"),
        ({"optimizer.schedule": "one_cycle", "optimizer.warmup": "1 epoch"}, "one_cycle, which has its own"),
    ],
)
def test_warmup_that_does_not_fit_the_schedule_is_refused(changes, words):
    with pytest.raises(cr.RecipeError, match=words):
        planned(10, **changes)


class TwoWeights(keras.Model):
    """A matrix and a bias, as in the recorded PyTorch example."""

    def __init__(self):
        super().__init__()
        self.w = self.add_weight(shape=(2, 2), name="kernel")
        self.b = self.add_weight(shape=(2,), name="bias")
        self.w.assign([[1.0, -2.0], [0.5, 3.0]])
        self.b.assign([1.0, -1.0])


@pytest.mark.parametrize(
    ("changes", "recorded"),
    [
        # torch 2.13.0, three steps at lr 0.05 on loss_i = (i+1)/2 sum(w^2) + sum(w * [[1, 2], [3, 4]]) + sum(b^3):
        # SGD(momentum=0.9, nesterov=True, weight_decay=0.1) and AdamW(weight_decay=0.1, eps=1e-7), no decay on b
        (
            {"optimizer.name": "sgd"},
            [0.0449318215, -1.3423316479, -0.7603266239, -0.1783217192, 0.2191872597, -3.1912705898],
        ),
        (
            {"optimizer.name": "adamw(epsilon=1e-7)"},
            [0.8365480304, -1.8915479183, 0.3430438936, 2.8065836430, 0.8507438302, -1.1502468586],
        ),
    ],
)
def test_three_optimizer_steps_match_pytorch(changes, recorded):
    model = TwoWeights()
    made = build_optimizer(recipe(**{"optimizer.weight_decay": 0.1, **changes}).optimizer, model, 0.05)
    for i in range(3):
        with tf.GradientTape() as tape:
            w, b = model.w.value, model.b.value
            loss = (i + 1) / 2 * tf.reduce_sum(w**2) + tf.reduce_sum(w * [[1.0, 2], [3, 4]]) + tf.reduce_sum(b**3)
        made.apply_gradients(zip(tape.gradient(loss, [w, b]), [model.w, model.b], strict=True))
    found = np.concatenate([model.w.numpy().ravel(), model.b.numpy()])
    np.testing.assert_allclose(found, recorded, atol=2e-6)


def test_optimizer_survives_serialization():
    made = RecipeOptimizer("sgd", 0.1, momentum=0.9, coupled_decay=5e-4)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(made))
    assert again.get_config() == made.get_config()


def test_norms_and_biases_have_no_weight_decay():
    model = cr.build("resnet8", input_shape=(8, 8, 1), classes=3)
    made = build_optimizer(recipe().optimizer, model, 0.1)
    made.build(model.trainable_variables)
    decayed = [v for v in model.trainable_variables if made._use_weight_decay(v)]
    assert {v.path.split("/")[-1] for v in decayed} == {"kernel"}
    assert len(decayed) == 8


def test_seeded_leaves_global_generators_unchanged():
    random.seed(5), np.random.seed(5)
    expected = random.random(), np.random.random()
    random.seed(5), np.random.seed(5)
    with seeded(1):
        first = keras.random.normal((2,)), random.random()
    assert (random.random(), np.random.random()) == expected
    with seeded(1):
        np.testing.assert_array_equal(keras.random.normal((2,)), first[0])


def test_seeded_restores_the_keras_generator():
    """The user's own draws continue where they were, and do not influence the seeded ones."""
    keras.utils.set_random_seed(3)
    expected = [keras.random.normal((2,)) for _ in range(3)]
    keras.utils.set_random_seed(3)
    # Before 3.11 Keras keeps its generator when it is seeded.
    seeded_before = np.array_equal(keras.random.normal((2,)), expected[0])
    with seeded(1):
        first = keras.random.normal((2,))
    second = keras.random.normal((2,))
    with seeded(1):
        np.testing.assert_array_equal(keras.random.normal((2,)), first)
    if seeded_before:
        np.testing.assert_array_equal(second, expected[1])
    assert not np.array_equal(second, first)


def test_failed_write_leaves_the_old_file(tmp_path):
    (tmp_path / "x.txt").write_text("old")

    def half(path):
        path.write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "x.txt", half)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_best_epoch_has_highest_accuracy_then_lowest_loss(tmp_path):
    state, weights = TrainState(10), []
    best = BestWeights(state, tmp_path / "best.npz", "accuracy")
    best.set_model(SimpleNamespace(measured_weights=lambda: [np.full(2, weights[-1])]))
    for epoch, (accuracy, loss) in enumerate([(0.5, 1.0), (0.7, 0.9), (0.7, 0.8), (0.7, 0.85), (0.6, 0.1)]):
        weights.append(epoch)
        best.on_epoch_end(epoch, {"val_accuracy": accuracy, "val_loss": loss})
        assert state.epochs_without_improvement == max(epoch - 2, 0)
    assert state.best_epoch == 3
    (best_weights,), about = read_weights(tmp_path / "best.npz")
    np.testing.assert_array_equal(best_weights, [2, 2])
    assert about == {"epoch": 3}


def test_diverging_loss_stops_the_training(tmp_path):
    with pytest.raises(cr.TrainingError, match=r"loss is (nan|inf) since step \d+ of epoch 1.*learning_rate"):
        cr.fit(
            "resnet8_digits",
            workdir=tmp_path,
            progress=False,
            **{"optimizer.learning_rate": 1e30, "optimizer.warmup": "1%"},
        )


def test_history_val_loss_is_the_cross_entropy_of_the_evaluation(digits_run):
    row = digits_run.history.iloc[digits_run.metrics["epoch"] - 1]
    assert row.val_loss == pytest.approx(digits_run.metrics["validation"]["cross_entropy"], rel=1e-4)
    assert row.val_accuracy == pytest.approx(digits_run.metrics["validation"]["accuracy"], abs=1e-6)


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


def test_finished_run_has_history_events_and_checkpoints(digits_run):
    history = pd.read_csv(digits_run.folder / "history.csv")
    assert list(history.epoch) == [1, 2, 3, 4, 5, 6]
    # The rate of an epoch's last step; the first epoch is the warmup, of 19 steps.
    assert history.learning_rate.iloc[0] == pytest.approx(0.1 * 19 / 20, rel=1e-3)
    assert history.learning_rate.iloc[-1] > 0
    assert history.learning_rate.iloc[-1] < 1e-3
    assert (history.images_per_second > 0).all()
    assert list((digits_run.folder / "tensorboard").rglob("events.out.tfevents.*"))
    assert {path.name for path in (digits_run.folder / "checkpoints").iterdir()} == {
        "best.npz",
        f"step_{6 * 19:09d}.npz",
    }

"""The watch changes no bit of a training, and its numbers are those of NumPy; on two devices: test_devices.py."""

from __future__ import annotations

import math
import time

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from adaptation import SMALL
from linear_training import IMAGES, LABELS, LinearTraining
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

import cnnrecipes as cr
from cnnrecipes.analysis.activation_statistics import activation_statistics
from cnnrecipes.debug.examined_training import opened_subject
from cnnrecipes.diagnosis.watch_findings import worst_layer
from cnnrecipes.errors import Interrupted, RecipeError, RunError, TrainingError
from cnnrecipes.recipe import catalog
from cnnrecipes.runs import checkpoint
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.runs.watch_records import BINS, FILE, read_watch
from cnnrecipes.training.callbacks import callback_list
from cnnrecipes.training.callbacks.watch import Watch, next_observed
from cnnrecipes.training.layer_probe import LayerProbe, probe_batch
from cnnrecipes.training.training_step import TrainModel

OPTIONS = {
    "sgd": {},
    "average": {"name": "adamw", "ema": 0.9, "steps_per_execution": 4},
    "lookahead": {"name": "lion", "lookahead": 4, "clip_norm": 0.5},
    "xla": {"xla": True, "steps_per_execution": 3},
}


def state(training: LinearTraining) -> dict[str, bytes]:
    arrays = checkpoint.capture(training.train_model.checkpoint_variables())
    return {name: array.tobytes() for name, array in arrays.items()}


def observed(every: int, end: int) -> list[int]:
    steps, step = [], 0
    while (step := next_observed(step, every)) < end:
        steps.append(step)
        step += 1
    return steps


class StopAfter(keras.callbacks.Callback):
    """Raise an error, as a crash does, after a number of executions."""

    def __init__(self, executions: int):
        super().__init__()
        self.left = executions

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise Interrupted("crash")


class WeightsBefore(keras.callbacks.Callback):
    """Keep the weights before each step."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def on_train_batch_begin(self, batch, logs=None):
        self.kept.append(self.model.inner.get_weights())


def test_observed_steps_are_the_powers_of_two_and_the_end_of_each_interval():
    assert observed(20, 60) == [0, 1, 2, 4, 8, 16, 19, 39, 59]
    assert observed(1, 4) == [0, 1, 2, 3]
    assert observed(3, 9) == [0, 1, 2, 5, 8]


@pytest.mark.parametrize("name", OPTIONS)
def test_watched_training_is_bit_equal(tmp_path, name):
    """With dropout: the probe must not advance its random numbers."""
    on, off = (LinearTraining(tmp_path / w, dropout=0.3, watch=w, **OPTIONS[name]) for w in ("3 steps", "off"))
    on.run(), off.run()
    assert state(on) == state(off)
    assert sorted(set(read_watch(tmp_path / "3 steps" / FILE)["step"])) == observed(3, 18)
    assert not (tmp_path / "off" / FILE).exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"train.precision": "bfloat16", "train.microbatches": 2, "augment.device": "accelerator"},
        {"train.precision": "float16", "optimizer.clip_norm": 1.0, "data.image_size": 8, "train.epochs": 1},
    ],
)
def test_watched_training_is_bit_equal_with_batch_norm_microbatches_and_mixed_precision(tmp_path, changes):
    """`augment.device`: the probe augments its batch itself."""
    small = {**SMALL, "model.depths": [1], "model.widths": [16], "logging.loggers": [], "logging.report": "off"}
    changes = {**small, "augment.ops": ["flip_lr", "mixup"], "model.dropout": 0.2, **changes}
    runs = {
        watch: cr.fit(
            "resnet20_cifar",
            data=(np.tile(IMAGES, (1, 4, 4, 3))[:90], LABELS[:90]),
            workdir=tmp_path,
            progress=False,
            **{**changes, "logging.watch": watch},
        )
        for watch in ("2 steps", "off")
    }
    assert runs["2 steps"].metrics == runs["off"].metrics
    arrays = [checkpoint.newest(run.folder).arrays for run in runs.values()]
    assert all(arrays[0][name].tobytes() == arrays[1][name].tobytes() for name in arrays[1])
    table = runs["2 steps"].watch()
    assert (table["nonfinite"] == 0).all()
    assert table["gradient_norm"].max() < 100  # of the loss, not of the scaled one


def test_resume_after_a_crash_continues_the_file(tmp_path):
    """The crash is four steps after the checkpoint: the rows of these steps are dropped, and made again."""
    options = {"dropout": 0.3, "watch": "2 steps", "steps_per_execution": 1, "checkpoint_every": "5 steps"}
    whole = LinearTraining(tmp_path / "whole", **options)
    whole.run()
    folder = tmp_path / "crashed"
    with pytest.raises(Interrupted):
        LinearTraining(folder, callbacks=[StopAfter(14)], **options).run()
    start = checkpoint.newest(folder)
    assert start.state.total_steps == 10
    assert read_watch(folder / FILE)["step"].max() == 13
    resumed = LinearTraining(folder, start=start, **options)
    resumed.run()
    assert state(resumed) == state(whole)
    tables = [read_watch(place / FILE).drop(columns="layer") for place in (folder, tmp_path / "whole")]  # Keras counts
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_watch_may_change_on_resume(tmp_path):
    options = {"steps_per_execution": 1, "checkpoint_every": "5 steps"}
    with pytest.raises(Interrupted):
        LinearTraining(tmp_path, callbacks=[StopAfter(14)], watch="off", **options).run()
    LinearTraining(tmp_path, start=checkpoint.newest(tmp_path), watch="6 steps", **options).run()
    assert sorted(set(read_watch(tmp_path / FILE)["step"])) == [11, 17]


def test_training_step_is_traced_once(tmp_path, monkeypatch):
    traces, train_step = [], TrainModel.train_step
    monkeypatch.setattr(TrainModel, "train_step", lambda self, data: traces.append(1) or train_step(self, data))
    training = LinearTraining(tmp_path, watch="1 steps", steps_per_execution=5)
    training.run()
    assert len(traces) == 1
    assert training.train_model.observer is None


def test_update_ratio_and_gradient_norm_match_numpy(tmp_path):
    before = WeightsBefore()
    training = LinearTraining(tmp_path, watch="1 steps", steps_per_execution=1, callbacks=[before])
    training.run()
    table = read_watch(tmp_path / FILE)
    rows = table[table["kind"] == "weighted"].set_index("step")
    flat = [np.concatenate([weight.ravel() for weight in weights]) for weights in before.kept]
    for step in range(17):
        norm = np.linalg.norm(flat[step])
        assert rows.loc[step, "weight_norm"] == pytest.approx(norm, rel=1e-5)
        assert rows.loc[step, "update_ratio"] == pytest.approx(np.linalg.norm(flat[step + 1] - flat[step]) / norm, 1e-3)
    batch = next(iter(training.trainer.job.training_batches(0, 1)))
    images, labels = (part[:8] for part in batch)  # half of a batch of 16
    model = training.model
    model.set_weights(before.kept[0])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, model(images)))
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    assert rows.loc[0, "gradient_norm"] == pytest.approx(float(tf.linalg.global_norm(gradients)), rel=1e-4)


def test_activations_match_those_of_inspect():
    """A probe of the initial weights has the statistics of `activation_statistics`, and changes no variable."""
    changes = {**SMALL, "data.batch_size": 32, "augment.ops": ["pad_crop(2)"]}
    with opened_subject("resnet20_cifar", (np.tile(IMAGES, (1, 4, 4, 3))[:90], LABELS[:90]), changes=changes) as job:
        before = [variable.numpy() for variable in job.model.inner.variables]
        rows = LayerProbe(job.model, *probe_batch(job.model, job.pipeline)).measure()
        assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, job.model.inner.variables, strict=True))
        expected = activation_statistics(job.model.inner, job.pipeline.batch(0)[0][:16]).to_dict("records")
    assert [row["layer"] for row in rows] == [row["layer"] for row in expected]
    for row, other in zip(rows, expected, strict=True):
        assert row["kind"] == other["kind"]
        assert row["mean"] == pytest.approx(other["mean"], rel=1e-4, abs=1e-5)
        assert row["std"] == pytest.approx(other["std"], rel=0.05, abs=1e-6)  # of a sample
        assert row["dead"] == pytest.approx(other["dead"], nan_ok=True)


def test_nonfinite_loss_is_measured(tmp_path):
    with pytest.raises(TrainingError, match="the loss is"):
        LinearTraining(tmp_path, watch="2 epochs", learning_rate=1e30, name="sgd").run()
    table = read_watch(tmp_path / FILE)
    finding = worst_layer(table)
    assert finding.problem == "non-finite"
    assert table[table["nonfinite"] > 0]["update_ratio"].isna().all()


def test_auto_stays_below_its_share(tmp_path, monkeypatch):
    """A training of a second has no time for it; with any share it observes what "1 epoch" does, after the first."""
    LinearTraining(tmp_path / "short").run()
    assert not (tmp_path / "short" / FILE).exists()
    with pytest.raises(RunError, match="no watch.csv; train with logging.watch='1 epoch'"):
        Run(tmp_path / "short").watch()
    monkeypatch.setattr(callback_list, "SHARE", 1e9)
    LinearTraining(tmp_path / "any").run()
    assert sorted(set(read_watch(tmp_path / "any" / FILE)["step"])) == observed(6, 18)[1:]


@pytest.mark.parametrize(
    ("total", "longest", "affordable"), [(10_000, math.inf, True), (1000, math.inf, False), (10_000, 20.0, False)]
)
def test_first_observation_is_within_the_share_of_the_whole_training(total, longest, affordable):
    """0.5 s of the 100 s, 11 s or 20 s that the training will take; the next one within that of the time so far."""
    watch = Watch(TrainState(10, epoch=1), None, every=10, file=None, share=0.02, total=total, longest=longest)
    watch._begin, watch._cost, watch._step = time.perf_counter() - 1, 0.5, 0.01
    assert watch._affordable() is affordable
    watch.seconds = 0.5
    assert not watch._affordable()
    watch._begin -= 50
    assert watch._affordable()


def test_seconds_of_the_watch_are_counted(tmp_path, monkeypatch):
    made = []
    begin = Watch.on_train_begin
    monkeypatch.setattr(Watch, "on_train_begin", lambda self, logs=None: made.append(self) or begin(self, logs))
    LinearTraining(tmp_path, watch="1 epochs").run()
    assert 0 < made[0].seconds < 30


def test_file_that_cannot_be_written_ends_the_watch_only(tmp_path):
    (tmp_path / FILE).mkdir()
    training = LinearTraining(tmp_path, watch="1 epochs")
    training.run()
    (message,) = [line for line in training.said if "not watched" in line]
    assert "logging.watch=off skips this" in message


def test_model_without_a_graph_ends_the_watch_only(tmp_path, monkeypatch):
    monkeypatch.setattr("cnnrecipes.training.layer_probe.calls", lambda model: cr.models.graph.calls("none"))
    training = LinearTraining(tmp_path, watch="1 epochs")
    training.run()
    assert len([line for line in training.said if "not watched" in line]) == 1


def test_tensorboard_has_the_histograms(tmp_path):
    LinearTraining(tmp_path, watch="1 epochs", loggers=["tensorboard"]).run()
    table = read_watch(tmp_path / FILE)
    rows = table[table["kind"] == "weighted"]
    layer = rows["layer"].iloc[0]
    events = EventAccumulator(str(tmp_path / "tensorboard" / "watch"), size_guidance={"tensors": 0}).Reload()
    found = events.Tensors(f"activations/{layer}")
    assert [event.step for event in found] == rows["step"].tolist()
    for event, counts in zip(found, rows[list(BINS)].to_numpy(), strict=True):
        left, right, count = tensor_util.make_ndarray(event.tensor_proto).T
        assert count.sum() == counts.sum()
        assert (left < right).all()
    ratios = [tensor_util.make_ndarray(e.tensor_proto).item() for e in events.Tensors(f"update_ratio/{layer}")]
    assert ratios == pytest.approx(rows["update_ratio"].tolist(), rel=1e-4)


@pytest.mark.parametrize("value", ["sometimes", "1 min", "0 steps", 3, True])
def test_invalid_interval_is_refused(value):
    with pytest.raises(RecipeError, match=r'logging.watch = .*; give "auto", "off" or an interval'):
        catalog.load("resnet8_digits").change(**{"logging.watch": value})

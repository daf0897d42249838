"""find-lr: the training's own steps at rising rates, everything restored, errors, files."""

from __future__ import annotations

import inspect
import json
import os
import random
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from adaptation import NARROW, OTHER, SMALL, pretrain

import cnnrecipes as cr
from cnnrecipes.debug.examined_training import opened_subject
from cnnrecipes.debug.rate_sweep import sweep
from cnnrecipes.debug.short_training import all_values, drawn_values, set_values
from cnnrecipes.errors import DataError, RecipeError, TrainingError, WriteError
from cnnrecipes.optim.optimizers.sgd import SGD
from cnnrecipes.recipe import catalog
from cnnrecipes.runs import checkpoint
from cnnrecipes.training.seeding import undisturbed_random_numbers

RATES = np.geomspace(1e-3, 1, 6)
FEW = (np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), np.uint8), np.arange(8) % 2)
# Everything that has a state: dropout's seeds, moving statistics, both averages, accumulated gradients.
STATEFUL = {
    "model.dropout": 0.3,
    "optimizer.ema": 0.9,
    "optimizer.lookahead": 2,
    "train.microbatches": 2,
    "train.epochs": 1,
    "optimizer.warmup": "0 epochs",
}


NET = [f"{key}={list(value)}" for key, value in NARROW.items()]  # of a command


def small_model() -> keras.Model:
    """Images (N, 8, 8, 1) to logits (N, 10), with everything that has a state; it compiles faster than resnet8."""
    layers = [keras.layers.Conv2D(16, 3, use_bias=False), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dropout(0.3), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 8), *layers, *head])


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return pretrain(tmp_path_factory.mktemp("pretrained"), **NARROW, **{"train.epochs": 1})


@pytest.fixture(scope="module")
def documented(tmp_path_factory):
    """The names of the documentation's code, after its default sweep of the digits, and the folder of its files."""
    page = (Path(__file__).parents[2] / "docs" / "debugging.md").read_text(encoding="utf-8")
    section = page.split("## Learning rate")[1].split("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, re.S)
    folder, before, names = tmp_path_factory.mktemp("documented"), Path.cwd(), {}
    os.chdir(folder)
    try:
        exec(compile(block, "docs/debugging.md", "exec"), names)
    finally:
        os.chdir(before)
    return {**names, "folder": folder}


def everything(job) -> list[np.ndarray]:
    model = job.model
    variables = [*model.variables, *model.inner.variables, *model.optimizer.variables]
    variables += [one for average in model.averages for one in average.variables]
    return [np.asarray(variable.numpy()) for variable in variables]


def generators() -> list:
    """The next numbers of all random number generators, which are not advanced."""
    with undisturbed_random_numbers():
        keras_numbers = keras.random.uniform((2,)).numpy().tolist()
        return [random.random(), np.random.rand(), tf.random.uniform((2,)).numpy().tolist(), keras_numbers]


def same(before, after) -> bool:
    return len(before) == len(after) and all(map(np.array_equal, before, after))


def test_sweep_restores_the_job_bit_exactly():
    with opened_subject("resnet8_digits", model=small_model(), changes=STATEFUL) as job:
        before, schedule, progress = everything(job), job.model.optimizer.learning_rate, job.model.progress
        curves = sweep(job, RATES, 2)
        assert same(before, everything(job))
        assert float(job.model.optimizer.learning_rate) == float(schedule)
        assert job.model.progress is progress
        assert job.model.train_function is None
    assert np.isfinite(curves.losses).all()
    assert not np.array_equal(*curves.losses)
    assert job.model.steps_done == 0


def test_fit_after_find_lr_gives_the_same_bits_and_steps_are_those_of_fit(tmp_path):
    keys = {**STATEFUL, **NARROW, "optimizer.schedule": "constant", "optimizer.learning_rate": 0.05}
    keys["logging.loggers"] = []
    keras.utils.set_random_seed(7)
    keras.random.uniform((1,))
    runs = []
    for number in range(2):
        if number:
            before = generators()  # `fit` leaves another seed of TensorFlow
            found = cr.find_lr(
                "resnet8_digits", low=0.05, high=0.05 * (1 + 1e-9), steps=20, seeds=1, progress=False, **keys
            )
            assert generators() == before
        runs.append(cr.fit("resnet8_digits", workdir=tmp_path, progress=False, **keys))
    states = [checkpoint.newest(run.folder) for run in runs]
    assert states[0].arrays.keys() == states[1].arrays.keys()
    assert all(np.array_equal(value, states[1].arrays[name]) for name, value in states[0].arrays.items())
    assert found.losses[0, :19].mean() == pytest.approx(runs[0].history["loss"].iloc[0], rel=1e-5)


@pytest.mark.parametrize("name", ["sgd", "schedule_free_adamw"])
def test_seeds_begin_as_a_fit_with_that_seed(name):
    keys = {**NARROW, "optimizer.name": name, "model.dropout": 0.3}
    keys |= {} if "free" in name else {"optimizer.ema": 0.9}
    with (
        opened_subject("resnet8_digits", changes=keys) as job,
        opened_subject("resnet8_digits", seed=1, changes=keys) as one,
    ):
        assert not same(all_values(job), all_values(one))
        set_values(job, drawn_values(job, 1))
        assert same(all_values(job), all_values(one))


@pytest.mark.parametrize("name", ["schedule_free_adamw", "muon(auxiliary_rate=0.1)"])
def test_every_optimizer_trains_at_the_rates_of_the_sweep(name):
    keys = {"optimizer.name": name, "optimizer.layer_decay": 0.9}
    with opened_subject("resnet8_digits", model=small_model(), changes=keys) as job:
        losses = sweep(job, np.full(20, 0.03), 1).losses[0]
    assert losses[-4:].mean() < losses[:4].mean() - 0.05


def test_scaled_rates_are_those_of_the_recipe_key():
    keys = {"optimizer.scale_rate": "linear", "data.batch_size": 64, "train.epochs": 1, "optimizer.warmup": "0 epochs"}
    model = small_model()
    with opened_subject("resnet8_digits", model=model, changes=keys) as job:
        scaled = sweep(job, RATES, 1).losses
    with opened_subject("resnet8_digits", model=model, changes={**keys, "optimizer.scale_rate": "none"}) as job:
        assert np.array_equal(sweep(job, RATES / 4, 1).losses, scaled)


@pytest.mark.parametrize(("schedule", "take"), [("constant", "valley"), ("cosine", "high")])
def test_valley_is_taken_if_the_rate_does_not_decay(schedule, take):
    keys = {"optimizer.schedule": schedule, "optimizer.warmup": "0 epochs"}
    with opened_subject("resnet8_digits", model=small_model(), changes=keys) as job:
        swept = sweep(job, RATES, 1)
    assert (swept.take, swept.decays) == (take, take == "high")


@pytest.mark.parametrize("how", ["finetune", "lora", "features"])
def test_transfer_learning_is_swept_and_restored(pretrained, how):
    keys = {**SMALL, **NARROW, "transfer.how": how, "model.weights": str(pretrained.folder), "train.start_from": None}
    keys |= {"finetune": {"transfer.train_from": "stage2"}, "lora": {"transfer.rank": 2}, "features": {}}[how]
    if how == "features":
        keys["transfer.head"] = "linear"
    with opened_subject("resnet20_cifar", OTHER, changes=keys) as job:
        before = everything(job)
        curves = sweep(job, RATES, 2)
        assert same(before, everything(job))
        # A fitted head and pretrained weights are where training starts; only what is drawn differs between seeds.
        assert same(all_values(job), drawn_values(job, 1)) is (how == "finetune")
    assert np.isfinite(curves.losses).all()
    assert not np.array_equal(*curves.losses)


def test_logistic_head_has_no_rate(tmp_path):
    with pytest.raises(TrainingError, match=r"no learning rate: the head is fitted by L-BFGS.*transfer.head=linear"):
        cr.find_lr("features_photos", data=tmp_path / "none")


def test_own_model_is_restored(tmp_path):
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dropout(0.5), keras.layers.Dense(10)]
    )
    before = [variable.numpy() for variable in model.variables]
    found = cr.find_lr("resnet8_digits", model=model, low=1e-6, high=1, steps=40, seeds=2, progress=False)
    assert same(before, [variable.numpy() for variable in model.variables])
    assert found.losses[0, 0] != found.losses[1, 0]  # other batches
    assert found.suggested < 0.1
    model.trainable = False
    with pytest.raises(TrainingError, match="no trainable weights"):
        cr.find_lr("resnet8_digits", model=model, progress=False)


def test_default_sweep_takes_less_than_an_epoch_of_cifar():
    parameters = inspect.signature(cr.find_lr).parameters
    assert parameters["seeds"].default * parameters["steps"].default == 300 < 45_000 // 128


def test_suggestion_on_digits_is_documented(documented):
    found, folder = documented["found"], documented["folder"]
    reading = found.reading
    assert found.losses.shape == (3, 100)
    assert np.isnan(found.losses[:, -1]).any()  # a curve ends where it diverges
    assert 0.005 < found.suggested < 0.5
    assert found.suggested == float(f"{reading.suggestions.high:.2g}")
    lowest, highest = reading.spread("high")
    assert highest < 10 * lowest
    assert "over 3 seeds); valley " in str(found)
    assert "The recipe's rate decays, so that the upper end usually trains best" in str(found)
    assert {path.name for path in folder.iterdir()} == {"learning_rates.png", "my_digits.toml"}
    assert catalog.load(folder / "my_digits.toml").optimizer.learning_rate == found.suggested


def test_optimizer_without_a_rate_is_an_error(monkeypatch):
    monkeypatch.setattr(
        SGD, "step", lambda self, optimizer, gradient, variable, rate, *slots: variable.assign(gradient)
    )
    with pytest.raises(TrainingError, match="'sgd' changes the weights at a learning rate of 0"):
        cr.find_lr("resnet8_digits", model=small_model(), progress=False)


def test_nan_of_the_first_step_is_an_error():
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    model.layers[-1].kernel.assign(np.full((64, 10), np.nan))
    with pytest.raises(TrainingError, match="the loss of the first step is nan, before any update"):
        cr.find_lr("resnet8_digits", model=model, progress=False)


def test_infinite_gradients_of_the_first_step_are_an_error():
    layers = [keras.layers.Flatten(), keras.layers.Dense(10, "linear", False, "zeros")]
    root = keras.layers.Lambda(lambda logits: tf.sqrt(tf.nn.relu(logits)))  # its slope at 0 is infinite
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers, root])
    with pytest.raises(TrainingError, match="the gradients of the first step are not finite"):
        cr.find_lr("resnet8_digits", model=model, progress=False)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"low": 1.0, "high": 0.1}, RecipeError, "go from 1 to 0.1; give 0 < low < high"),
        ({"low": 0.0}, RecipeError, "go from 0 to 10"),
        ({"low": -1e-3}, RecipeError, "go from -0.001"),
        ({"high": float("inf")}, RecipeError, "to inf"),
        ({"steps": 5}, RecipeError, "5 steps is too short for a curve; give 20 or more"),
        ({"seeds": 0}, RecipeError, "0 seeds"),
        ({"take": "lowest"}, RecipeError, "'lowest' is no suggestion of a sweep; give valley, steepest, minimum, high"),
        ({"picture": "none/lr.png"}, WriteError, "none/lr.png"),
        ({"write": "none/lr.toml"}, WriteError, "none/lr.toml"),
        ({"write": "taken.toml"}, WriteError, "exists already; give another path, or --overwrite"),
        ({"write": "rates.json"}, RecipeError, "ends in .toml"),
        ({"optimizer.learning_rat": 1}, RecipeError, "learning_rate"),
        ({"data": FEW}, DataError, "one batch of .*data.batch_size=2"),
    ],
)
def test_invalid_input_is_named(options, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.toml").write_text("")
    keys = {"data.validation": 0.0, "data.test": 0.0} if "data" in options else {}
    with pytest.raises(error, match=message):
        cr.find_lr("resnet8_digits", progress=False, **options, **keys)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.toml"]


def test_mixed_precision_with_loss_scaling_is_swept():
    """float16 skips steps whose scaled gradients overflow; the rates go on."""
    with opened_subject("resnet8_digits", model=small_model(), changes={"train.precision": "float16"}) as job:
        before = everything(job)
        assert np.isfinite(sweep(job, RATES, 1).losses).all()
        assert same(before, everything(job))


@pytest.fixture
def run_cli(capsys, monkeypatch, tmp_path):
    from cnnrecipes.cli import app

    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["cnnrecipes", "find-lr", "resnet8_digits", *arguments])
        with pytest.raises(SystemExit) as stopped:
            app.main()
        return stopped.value.code or 0, *capsys.readouterr()

    return run


def test_command_writes_a_plot_and_a_recipe(run_cli, tmp_path):
    options = ("--low", "1e-3", "--steps", "40", "--seeds", "1", "--take", "valley", "--write", "my.toml")
    code, out, _ = run_cli(*options, *NET, "model.dropout=0.1")
    assert code == 0
    assert "valley" in out
    assert "usable to" in out
    assert "(valley); steepest fall " in out.replace("\n", " ")
    assert "Suggested learning rate" in out
    assert "wrote learning_rates.png\nwrote my.toml" in out
    assert (tmp_path / "learning_rates.png").stat().st_size > 20_000
    text = (tmp_path / "my.toml").read_text()
    assert text.startswith("# resnet8_digits with the learning rate of find-lr: Suggested")
    written = catalog.load(tmp_path / "my.toml")
    base = catalog.load("resnet8_digits").change(**NARROW, **{"model.dropout": 0.1, "name": "my"})
    assert written.optimizer.learning_rate != base.optimizer.learning_rate
    assert written == base.change(**{"optimizer.learning_rate": written.optimizer.learning_rate})
    assert run_cli(*options)[0] == 2  # my.toml exists


def test_command_prints_json_and_fails_on_an_uninformative_curve(run_cli, tmp_path):
    code, out, messages = run_cli(
        "--low", "1e-9", "--high", "1e-8", "--steps", "30", "--seeds", "1", "--json", "--write", "my.toml", *NET
    )
    found = json.loads(out)
    assert code == 1
    assert found["suggested"] is None
    assert found["suggestions"] == []
    assert "uninformative" in found["conclusion"]
    assert found["conclusion"].endswith("Set a higher --high.")
    assert np.array(found["losses"]).shape == (1, 30)
    assert found["written"] == ["learning_rates.png"]
    assert "my.toml is not written: there is no learning rate to suggest" in messages
    assert not (tmp_path / "my.toml").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [(("--grid", "--low", "1"), "--low is for the sweep"), (("--rates", "1"), "--rates is for --grid")],
)
def test_options_of_the_other_way_are_refused(run_cli, options, message):
    code, _, errors = run_cli(*options)
    assert code == 2
    assert message in errors

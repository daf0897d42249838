"""`HyperRecipe` in keras-tuner's own tuners."""

from __future__ import annotations

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
from small_search import DATA, RECIPE

import cnnrecipes as cr

SPACE = {
    "optimizer.name": ["sgd", "adamw"],
    "optimizer.momentum": {"values": "uniform(0, 0.9)", "when": {"optimizer.name": "sgd"}},
    "augment.ops": [["flip_lr"], []],
}


@pytest.fixture(scope="module")
def model():
    return cr.HyperRecipe(RECIPE, SPACE, DATA, **{"train.epochs": 1})


def test_random_search_trains_by_the_recipe(model, tmp_path):
    tuner = keras_tuner.RandomSearch(model, "val_accuracy", max_trials=1, seed=3, directory=tmp_path)
    tuner.search()
    (best,) = tuner.oracle.get_best_trials()
    hp = best.hyperparameters
    assert set(hp.values) >= {"optimizer.name", "augment.ops"}
    run = cr.fit(model.trial_recipe(hp), DATA, workdir=tmp_path, progress=False)
    assert run.history.val_accuracy.max() == pytest.approx(best.score)
    (restored,) = tuner.get_best_models()
    images = np.asarray(DATA["test"][0])
    np.testing.assert_array_equal(restored.inner.predict(images, verbose=0), run.model.predict(images, verbose=0))


def test_hyperband_continues_trainings_for_the_epochs_that_it_asks_for(tmp_path):
    space = {"optimizer.learning_rate": "log(1e-3, 1)"}
    whole = cr.HyperRecipe(RECIPE, space, DATA, workdir=tmp_path / "runs", **{"train.epochs": 3})
    tuner = keras_tuner.Hyperband(whole, "val_accuracy", max_epochs=3, seed=1, directory=tmp_path / "tuner")
    tuner.search()
    trials = list(tuner.oracle.trials.values())
    assert {trial.status for trial in trials} == {"COMPLETED"}
    runs = {run.recipe.train.seed: run for run in map(cr.Run.open, (tmp_path / "runs").iterdir())}
    epochs = {trial.hyperparameters.values["tuner/epochs"] for trial in trials}
    assert epochs == {1, 3}
    child = next(trial for trial in trials if trial.hyperparameters.values["tuner/initial_epoch"])
    recipe = whole.trial_recipe(child.hyperparameters)
    run = runs[recipe.train.seed]
    assert len(run.history) == 3
    uninterrupted = cr.fit(recipe, DATA, workdir=tmp_path, progress=False)
    pd.testing.assert_series_equal(run.history.val_loss, uninterrupted.history.val_loss)
    other = cr.HyperRecipe(RECIPE, space, DATA, **{"train.epochs": 3})  # which has not run the first epoch
    repeated = other.fit(child.hyperparameters, other.build(child.hyperparameters), epochs=3, initial_epoch=1)
    assert repeated.history["val_loss"] == run.history.val_loss.tolist()[1:]
    stopped = [run for run in runs.values() if len(run.history) == 1]
    assert len(stopped) == sum(one.hyperparameters.values["tuner/epochs"] == 1 for one in trials) - 1


def test_executions_of_a_trial_have_different_seeds(tmp_path):
    made = cr.HyperRecipe(RECIPE, SPACE, DATA, workdir=tmp_path / "runs", **{"train.epochs": 1})
    hp = keras_tuner.HyperParameters()
    hp.values = {"optimizer.name": "adamw", "augment.ops": "[]"}
    for _ in range(2):
        made.fit(hp, made.build(hp))
    seeds = [run.recipe.train.seed for run in map(cr.Run.open, (tmp_path / "runs").iterdir())]
    assert len(set(seeds)) == 2
    assert made.trial_recipe(hp).train.seed in seeds


def test_more_epochs_than_the_schedule_has_are_refused(model):
    hp = keras_tuner.HyperParameters()
    with pytest.raises(cr.TrainingError, match="asks for 9 epochs, and the schedule of the recipe has 1; set max_epoc"):
        model.fit(hp, model.build(hp), epochs=9)


def test_bayesian_optimization_takes_it_too(model, tmp_path):
    tuner = keras_tuner.BayesianOptimization(
        model, keras_tuner.Objective("val_loss", "min"), max_trials=1, num_initial_points=1, seed=1, directory=tmp_path
    )
    tuner.search()
    assert [trial.status for trial in tuner.oracle.trials.values()] == ["COMPLETED"]


def test_build_gives_a_compiled_model_of_the_values(model):
    hp = keras_tuner.HyperParameters()
    hp.values = {"optimizer.name": "sgd", "optimizer.momentum": 0.25, "augment.ops": "[]"}
    built = model.build(hp)
    assert isinstance(built, keras.Model)
    assert built.compiled
    assert built.optimizer.momentum == 0.25
    assert model.trial_recipe(hp).augment.ops == ()
    with pytest.raises(cr.TrainingError, match="build it again"):
        model.fit(hp, keras.Sequential())

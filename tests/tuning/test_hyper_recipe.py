"""`HyperRecipe` in keras-tuner's own tuners."""

from __future__ import annotations

import keras
import keras_tuner
import numpy as np
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

"""The training that the commands of debug/ examine."""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from broken_models import SMALL

import cnnrecipes as cr
from cnnrecipes.debug.examined_training import opened_subject
from cnnrecipes.errors import RecipeError
from cnnrecipes.training.seeding import undisturbed_random_numbers


def test_job_is_that_of_fit_without_a_run_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with opened_subject("resnet8_digits", changes={"train.epochs": 2}) as job:
        assert job.recipe.train.epochs == 2
        assert job.total_steps == 2 * job.pipeline.steps_per_epoch
        job.model.train_function = None
    assert list(tmp_path.iterdir()) == []


def test_given_model_is_trained_and_its_weights_are_restored():
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    before = model.get_weights()
    with opened_subject("resnet8_digits", model=model) as job:
        assert job.model.inner is model
        model.set_weights([weight + 1 for weight in before])
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))


def test_invalid_key_raises():
    with pytest.raises(RecipeError, match=r"model\.nam"), opened_subject("resnet8_digits", changes={"model.nam": "x"}):
        pass


def generators() -> list:
    """The next numbers of all random number generators, which are not advanced."""
    with undisturbed_random_numbers():
        keras_numbers = keras.random.uniform((2,)).numpy().tolist()
        return [random.random(), np.random.rand(), tf.random.uniform((2,)).numpy().tolist(), keras_numbers]


def test_random_number_generators_are_left_as_they_were():
    keras.utils.set_random_seed(11)
    before = generators()
    with opened_subject("resnet8_digits", seed=3):
        assert generators() != before
    assert generators() == before
    cr.sanity("resnet8_digits", SMALL)
    assert generators() == before

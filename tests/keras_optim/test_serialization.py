"""Serialized Keras objects of a recipe load under their registered names, wherever the classes stand."""

from __future__ import annotations

import keras
import pytest

import cnnrecipes as cr
from cnnrecipes.keras_optim.recipe_loss import build_loss
from cnnrecipes.keras_optim.recipe_optimizer import RecipeOptimizer
from cnnrecipes.keras_optim.recipe_schedule import build_schedule

RECIPE = cr.Recipe.from_dict({"data": {"name": "d"}, "model": {"name": "resnet8"}, "train": {"epochs": 2}}, "test")
OBJECTS = {
    "Loss": lambda: build_loss(RECIPE.train),
    "RecipeOptimizer": lambda: RecipeOptimizer("lion", 0.1),
    "Schedule": lambda: build_schedule(RECIPE.optimizer, RECIPE.train, 5),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_object_of_an_earlier_version_loads(name):
    """The module that was recorded need not exist any more."""
    made = OBJECTS[name]()
    recorded = keras.saving.serialize_keras_object(made)
    assert recorded["registered_name"] == f"cnnrecipes>{name}"
    again = keras.saving.deserialize_keras_object({**recorded, "module": "cnnrecipes.no_such_module"})
    assert type(again) is type(made)
    assert again.get_config() == made.get_config()

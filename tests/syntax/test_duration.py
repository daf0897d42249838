"""Durations: parsing, formatting, errors."""

from __future__ import annotations

import dataclasses

import pytest

from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.recipe.toml import tomllib
from cnnrecipes.syntax.duration import Duration

LONG = ["1234567 steps", "10000000 steps", "0.123456789 epochs", "0.00001 epochs", "33.3333333%"]


@pytest.mark.parametrize("text", ["0 epochs", "1 epoch", "0.5 epochs", "400 steps", "10%", "100%", *LONG])
def test_duration_survives_formatting_and_parsing(text):
    duration = Duration.parse(text)
    assert Duration.parse(str(duration)) == duration


@pytest.mark.parametrize("text", LONG)
def test_recipe_keeps_a_duration_exactly(text):
    recipe = catalog.load("resnet20_cifar").change(**{"optimizer.warmup": text})
    assert Recipe.from_dict(tomllib.loads(recipe.to_toml()), "again") == recipe
    assert recipe.change(**{"train.epochs": 3}).optimizer.warmup == Duration.parse(text)


@pytest.mark.parametrize("text", ["1 epoch", " 1 epochs ", "1epoch", "1.0 epochs"])
def test_spellings_of_a_duration_are_equal(text):
    assert Duration.parse(text) == Duration(1, "epochs")


@pytest.mark.parametrize("text", ["", "5", "epochs", "-1 epochs", "1e3 steps", "1,5 epochs", "5 weeks", "5 epochs!"])
def test_text_without_amount_or_unit_is_refused(text):
    with pytest.raises(ValueError, match="a text with its unit"):
        Duration.parse(text)


@pytest.mark.parametrize("value", [5, 0.5, None, True, ["5 epochs"]])
def test_number_without_unit_is_refused(value):
    with pytest.raises(ValueError, match="a text with its unit"):
        Duration.parse(value)


def test_more_than_100_percent_is_refused():
    with pytest.raises(ValueError, match="at most 100%"):
        Duration.parse("100.5%")


def test_duration_is_frozen_and_hashable():
    duration = Duration.parse("5 epochs")
    assert Duration.parse(duration) is duration
    assert len({duration, Duration(5, "epochs"), Duration(5, "steps")}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        duration.amount = 6

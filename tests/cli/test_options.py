"""KEY=VALUE arguments: validation against the recipe's keys, and keys that are arguments of `fit` or `resume` too."""

from __future__ import annotations

import warnings

import pytest

import cnnrecipes as cr
from cnnrecipes.cli import options


def test_recipe_name_is_applied_and_other_overrides_are_left_to_fit():
    spec, keys = options.recipe_and_overrides("resnet8_digits", ["name=mine", "train.epochs=2"])
    assert (spec.name, spec.train.epochs) == ("mine", 40)
    assert keys == {"train.epochs": 2}


def test_overrides_are_validated_without_the_warning_that_fit_repeats(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('extends = "resnet8_digits"\noptimizer.warmup = "5 epochs"\n')
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec, keys = options.recipe_and_overrides(str(path), ["train.epochs=2"])
    with pytest.warns(cr.CNNRecipesWarning, match="does not fit into 2"):
        spec.change(**keys)
    with pytest.raises(cr.RecipeError, match="batch_size = -1"):
        options.recipe_and_overrides("resnet8_digits", ["data.batch_size=-1"])


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("train.epoch=2", "did you mean train.epochs"),
        ("data=photos/", "data = 'photos/' is a table"),
        ("progress=false", "progress"),
        ("run=2", "run"),
    ],
)
def test_unknown_key_is_an_error_even_if_it_is_an_argument_of_the_function(argument, words):
    with pytest.raises(cr.RecipeError, match=words):
        options.overrides([argument])

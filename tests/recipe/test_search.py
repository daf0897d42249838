"""The recipe table [search]: the grammar of its space, and errors for spaces that make no sense."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import cnnrecipes as cr
from cnnrecipes.errors import RecipeError
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.ranges import RANGES
from cnnrecipes.recipe.search import METHODS, PRUNING, Search
from cnnrecipes.recipe.space import combinations, parse_space, space_size


def recipe(space, **table):
    return catalog.load({"extends": "resnet8_digits", "search": {"space": space, **table}})


def test_space_survives_writing_to_toml(tmp_path):
    made = recipe(
        {
            "optimizer.learning_rate": "log(1e-3, 1)",
            "augment.ops": [["flip_lr"], ["flip_lr", "pad_crop(4)"]],
            "optimizer.name": ("sgd", "adamw"),
            "optimizer.momentum": {"values": "uniform(0.8, 0.99)", "when": {"optimizer.name": "sgd"}},
        },
        method="bayesian(initial=4)",
    )
    (tmp_path / "made.toml").write_text(made.to_toml())
    assert catalog.load(tmp_path / "made.toml").search == made.search
    assert "search" not in catalog.load("resnet8_digits").to_dict()


def test_keys_need_no_quotes(tmp_path):
    text = 'extends = "resnet8_digits"\n[search.space]\noptimizer.learning_rate = "log(1e-3, 1)"\n'
    (tmp_path / "mine.toml").write_text(text)
    assert catalog.load(tmp_path / "mine.toml").search.space == {"optimizer.learning_rate": "log(1e-3, 1)"}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("int(5, 20, 5)", [5, 10, 15, 20]),
        ("int(1, 6, 2)", [1, 3, 5]),
        ("log_int(16, 100, 2)", [16, 32, 64]),
        ("log_int(2, 4)", [2, 3, 4]),
        ("uniform(0, 1, 0.25)", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("uniform(0, 0.3, 0.1)", [0.0, 0.1, 0.2, 0.3]),
        ("uniform(0, 1, 0.3)", [0.0, 0.3, 0.6, 0.9]),
        (["a", 1, [2]], ["a", 1, [2]]),
    ],
)
def test_finite_ranges_have_their_values(text, values):
    (entry,) = parse_space({"k": text})
    assert list(entry.values.all_values()) == values
    assert entry.values.size == len(values)
    assert {entry.values.ends[0], entry.values.ends[-1]} == {values[0], values[-1]} if text != ["a", 1, [2]] else True


def test_combinations_of_conditional_keys():
    entries = parse_space({"b": {"values": "int(1, 3)", "when": {"a": "x"}}, "a": ["x", "y"]})
    assert [entry.key for entry in entries] == ["a", "b"]
    found = list(combinations(entries))
    assert found == [{"a": "x", "b": 1}, {"a": "x", "b": 2}, {"a": "x", "b": 3}, {"a": "y"}]
    assert space_size(entries) == 4


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("log(1, 0.1)", r"the low end 1 is above the high end 0\.1; swap them"),
        ("int(20, 5)", "the low end 20 is above the high end 5; swap them"),
        ("log(0, 1)", "the low end 0 of a logarithmic range is not above 0"),
        ("log_int(-1, 4)", "the low end -1 of a logarithmic range is not above 0"),
        ("uniform(1, 1)", "both ends are 1, which leaves nothing to search"),
        ("uniform(0, 1, 3)", "the step 3 is larger than the range, 1"),
        ("normal(0, 1)", r"unknown range 'normal' \(did you mean uniform"),
        ([], "has no value to choose"),
        (3, "is a single value"),
        (["sgd", "sgd"], 'has the choice "sgd" twice'),
        ({"values": [1, 2], "when": {"model.nrm": 1}}, r"the space has no model\.nrm"),
        ({"values": [1, 2], "when": {"optimizer.ema": 1}}, "which is itself"),
        ({"values": [1, 2], "when": {"model.norm": "layer"}}, 'is active when model.norm = "layer", which it never is'),
        ({"values": [1, 2], "when": {"train.epochs": 3}}, "and train.epochs is a range; make it a list"),
        ({"vals": [1, 2]}, "write a condition as"),
    ],
)
def test_impossible_space_is_refused(value, message):
    space = {"optimizer.ema": value, "model.norm": ["batch", "group"], "train.epochs": "int(1, 3)"}
    with pytest.raises(RecipeError, match=message):
        recipe(space)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"objective": "val_acc"}, "allowed: val_accuracy, val_loss"),
        ({"method": "rnadom"}, "unknown search method 'rnadom'.*did you mean random"),
        ({"pruning": "median(startup=-1)"}, "greater than or equal to 0"),
        ({"trails": 3}, r"unknown key 'search.trails' \(did you mean search.trials"),
        ({"seed": -1}, "greater than or equal to 0"),
    ],
)
def test_invalid_settings_are_refused(table, message):
    with pytest.raises(RecipeError, match=message):
        recipe({}, **table)


def test_conditions_in_a_circle_are_refused():
    space = {
        "model.norm": {"values": ["batch", "group"], "when": {"optimizer.name": "sgd"}},
        "optimizer.name": {"values": ["sgd", "adamw"], "when": {"model.norm": "batch"}},
    }
    with pytest.raises(RecipeError, match="depend on each other"):
        recipe(space)


def test_search_can_be_overridden_as_other_keys_are():
    assert recipe({}).change(**{"search.trials": 7}).search.trials == 7
    assert catalog.load("resnet8_digits").change(**{"search.trials": 7}).search.trials == 7


def test_space_is_read_without_numpy():
    code = "import cnnrecipes.recipe.search, sys; assert not {'numpy', 'keras_tuner', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert cr.Recipe.model_fields["search"].default is None


def test_page_documents_all_keys_methods_and_rules():
    page = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")
    assert not [key for key in Search.model_fields if f"{key} = " not in page and f"[search.{key}]" not in page]
    for known in (METHODS, PRUNING):
        for name, kind in known.items():
            assert f"`{name}" in page or f'"{name}"' in page
            assert all(parameter in page for parameter in kind.model_fields)
    assert not [name for name in RANGES if f'"{name}(' not in page]

"""Tables of a recipe, and errors for renamed and unknown keys."""

from __future__ import annotations

import jsonschema
import pytest
import tomli_w

import cnnrecipes as cr
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.keys_and_defaults import RESUMABLE, TABLES, all_keys, fixed_part
from cnnrecipes.recipe.renamed_keys import RENAMED_KEYS, upgraded
from cnnrecipes.recipe.schema import Recipe, json_schema
from cnnrecipes.recipe.toml import parse_override, tomllib

BASE = catalog.load("resnet20_cifar")
VALUES = {
    "train.optimizer": "adamw",
    "train.accumulate": 2,
    "train.artefact": "last",
    "train.layer_decay": 0.75,
    "train.decay": "coupled",
    "train.clip_norm": 1.0,
    "train.clip_value": 0.5,
    "train.ema": 0.999,
    "train.lookahead": 5,
    "train.steps_per_execution": 4,
}
ORIGINAL = BASE.to_dict()


def value_of(old: str):
    """A valid value for the key."""
    table, key = RENAMED_KEYS[old].split(".")
    return VALUES[old] if old in VALUES else ORIGINAL[table][key]


def test_tables_match_the_recipe():
    assert ["name", *TABLES, "search"] == list(Recipe.model_fields)
    assert all(Recipe.model_fields[name].annotation is table for name, table in TABLES.items())
    assert list(BASE.to_dict()) == ["name", *TABLES]
    assert RESUMABLE == ("devices", "logging")
    assert list(fixed_part(BASE.to_dict())) == ["name", "data", "augment", "model", "optimizer", "train", "transfer"]


def test_renamed_keys_map_to_distinct_existing_keys():
    assert not set(RENAMED_KEYS) & set(all_keys())
    assert set(RENAMED_KEYS.values()) <= set(all_keys())
    assert len(set(RENAMED_KEYS.values())) == len(RENAMED_KEYS) == 22


@pytest.mark.parametrize("old", RENAMED_KEYS)
def test_renamed_key_in_a_file_raises_with_its_new_name(tmp_path, old):
    table, key = old.split(".")
    tables = {"extends": "resnet20_cifar", table: {key: value_of(old)}}
    (tmp_path / "old.toml").write_text(tomli_w.dumps(tables))
    for recipe, origin in ((tables, "the recipe"), (tmp_path / "old.toml", r"old\.toml")):
        with pytest.raises(cr.RecipeError, match=rf"{origin}: {old} is now {RENAMED_KEYS[old]}\b"):
            catalog.load(recipe)


@pytest.mark.parametrize("old", RENAMED_KEYS)
def test_renamed_key_as_an_override_raises_with_its_new_name(tmp_path, old):
    words = rf"{old} is now {RENAMED_KEYS[old]}\b"
    key, value = parse_override(f"{old}={value_of(old)}")
    with pytest.raises(cr.RecipeError, match=words):
        BASE.change(**{key: value})
    table, leaf = old.split(".")
    with pytest.raises(cr.RecipeError, match=words):
        BASE.change(**{table: {leaf: value}})
    with pytest.raises(cr.RecipeError, match=words):
        cr.fit("resnet8_digits", workdir=tmp_path, progress=False, **{key: value})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("lr", "optimizer.learning_rate"),
        ("train.lr", "optimizer.learning_rate"),
        ("wd", "optimizer.weight_decay"),
        ("warmup", "optimizer.warmup"),
        ("ema", "optimizer.ema"),
        ("logging.epochs", "train.epochs"),
        ("optimiser.momentum", "optimizer.momentum"),
    ],
)
def test_short_or_misplaced_key_has_a_suggestion(key, nearest):
    with pytest.raises(cr.RecipeError, match=rf"unknown key '{key}' \(did you mean {nearest}\?\)"):
        BASE.change(**{key: 0.1})


def test_value_in_place_of_a_table_suggests_a_key():
    with pytest.raises(cr.RecipeError, match=r"optimizer = 'adamw' is a table; .*optimizer\.name=\.\.\."):
        BASE.change(optimizer="adamw")


def test_recorded_tables_are_upgraded():
    old = {
        "name": "old",
        "data": {"name": "cifar10"},
        "model": {"name": "resnet20"},
        "train": {"epochs": 3, "optimizer": "lion", "accumulate": 2, "artefact": "last", "loggers": [], "ema": 0.9},
    }
    recipe = Recipe.recorded(old, "test")
    assert (recipe.optimizer.name, recipe.optimizer.ema, recipe.logging.loggers) == ("lion", 0.9, ())
    assert (recipe.train.epochs, recipe.train.microbatches, recipe.train.artifact) == (3, 2, "last")
    assert old["train"]["optimizer"] == "lion"
    assert upgraded(recipe.to_dict()) == recipe.to_dict()
    with pytest.raises(cr.RecipeError, match="train = 3"):
        Recipe.recorded({**old, "train": 3}, "test")
    with pytest.raises(cr.RecipeError, match="optimizer = 3"):
        Recipe.recorded({**old, "optimizer": 3}, "test")


def test_recipe_survives_writing_to_toml():
    assert Recipe.from_dict(tomllib.loads(BASE.to_toml()), "again") == BASE
    assert "[optimizer]" in BASE.to_toml()


def test_json_schema_has_all_tables_and_no_renamed_keys():
    schema = json_schema()
    assert set(schema["properties"]) == {"name", "extends", "search", *TABLES}
    for name, table in TABLES.items():
        assert set(schema["$defs"][table.__name__]["properties"]) == set(table.model_fields), name
    jsonschema.validate({"optimizer": {"name": "adamw"}, "train": {"microbatches": 2}}, schema)
    for old in RENAMED_KEYS:
        table, key = old.split(".")
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({table: {key: value_of(old)}}, schema)

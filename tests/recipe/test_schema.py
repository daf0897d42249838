"""The recipe schema: shipped recipes, validation, changes, overrides, inheritance."""

from __future__ import annotations

import json

import jsonschema
import pytest

from cnnrecipes.augment import operation
from cnnrecipes.errors import CNNRecipesError, RecipeError, UnknownNameError
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe, json_schema
from cnnrecipes.recipe.toml import parse_override, read_toml, tomllib
from cnnrecipes.syntax.duration import Duration

SHIPPED = catalog.names()
ISSUED = {"resnet8_digits", "resnet20_cifar", "resnet20_fashion", "resnet18_cifar", "resnet34_cifar", "vgg16_cifar"}


@pytest.fixture
def base() -> Recipe:
    return catalog.load("resnet20_cifar")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipe_is_complete_short_and_described(name):
    recipe = catalog.load(name)
    assert recipe.name == name
    assert Recipe.from_dict(tomllib.loads(recipe.to_toml()), "again") == recipe
    assert len(catalog.find(name).read_text().splitlines()) <= 40
    assert catalog.summary(name)


def test_required_recipes_are_shipped():
    assert set(SHIPPED) >= ISSUED


@pytest.mark.parametrize("name", SHIPPED)
def test_json_schema_accepts_shipped_recipes(name):
    jsonschema.validate(read_toml(catalog.find(name)), json_schema())


@pytest.mark.parametrize("table", [{"trian": {}}, {"train": {"epoch": 3}}, {"optimizer": {"warmup": "5"}}])
def test_json_schema_refuses_invalid_recipes(table):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(table, json_schema())


def test_json_schema_is_json():
    assert json.loads(json.dumps(json_schema()))["properties"]["extends"]["type"] == "string"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("train.epoch", 5, ["train.epoch", "train.epochs"]),
        ("modle.name", "x", ["modle.name", "model.name"]),
        ("train.epochs", "5", ["train.epochs", "'5'", "integer"]),
        ("train.epochs", 0, ["train.epochs", "0", "greater than or equal to 1"]),
        ("train.epochs", True, ["train.epochs", "True"]),
        ("optimizer.learning_rate", float("inf"), ["optimizer.learning_rate", "inf"]),
        ("optimizer.warmup", 5, ["optimizer.warmup", "5", "5 epochs"]),
        ("optimizer.warmup", "150%", ["optimizer.warmup", "150%", "100%"]),
        ("model.norm", "bach", ["model.norm", "bach", "batch"]),
        ("data.channels", 2, ["data.channels", "2", "1 or 3"]),
        ("data.validation", 1.0, ["data.validation", "1.0", "less than 1"]),
        ("augment.ops", "flip_lr", ["augment.ops", '["flip_lr"]']),
        ("augment.ops", ["pad_crp(4)"], ["augment.ops", "pad_crp", "pad_crop"]),
        ("augment.ops", ["pad_crop(fil=1)"], ["fil", "fill"]),
        ("augment.ops", ["cutout(-1)"], ["cutout", "-1", "greater than or equal to 1"]),
        ("augment.ops", ["cutout("], ["cutout(", "name(4, key=5)"]),
        ("augment.ops", ["flip_lr(0.1, 2)"], ["flip_lr", "probability"]),
    ],
)
def test_invalid_change_names_key_value_and_allowed_values(base, key, value, words):
    with pytest.raises(CNNRecipesError) as caught:
        base.change(**{key: value})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_change_returns_a_new_frozen_recipe(base):
    changed = base.change(**{"train.epochs": 5, "augment.ops": ["flip_lr"]})
    assert (changed.train.epochs, changed.augment.ops) == (5, ("flip_lr",))
    assert (base.train.epochs, base.augment.ops) == (182, ("pad_crop(4)", "flip_lr"))
    with pytest.raises(ValueError, match="frozen"):
        changed.train.epochs = 6


def test_shares_without_training_images_are_refused(base):
    with pytest.raises(RecipeError, match="leave nothing to train on"):
        base.change(**{"data.validation": 0.5, "data.test": 0.5})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.epochs=5", ("train.epochs", 5)),
        ("optimizer.warmup=10%", ("optimizer.warmup", "10%")),
        ("model.norm=group", ("model.norm", "group")),
        ("augment.ops=['flip_lr']", ("augment.ops", ["flip_lr"])),
        ("data.name=a=b", ("data.name", "a=b")),
        ("data.name=1\nx = 2", ("data.name", "1\nx = 2")),
    ],
)
def test_override_is_parsed_as_toml_or_text(text, expected):
    assert parse_override(text) == expected


@pytest.mark.parametrize("text", ["train.epochs", "=5", ""])
def test_override_without_key_or_value_is_refused(text):
    with pytest.raises(RecipeError, match="key=value"):
        parse_override(text)


def test_extends_inherits_unset_keys(tmp_path):
    (tmp_path / "parent.toml").write_text('extends = "resnet20_cifar"\n[train]\nepochs = 7\n')
    (tmp_path / "child.toml").write_text('extends = "./parent.toml"\n[model]\nnorm = "group"\n')
    child = catalog.load(tmp_path / "child.toml")
    assert (child.name, child.train.epochs, child.model.norm) == ("child", 7, "group")
    assert child.augment == catalog.load("resnet20_cifar").augment


def test_circular_extends_is_refused(tmp_path):
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{one}.toml").write_text(f'extends = "./{other}.toml"\n')
    with pytest.raises(RecipeError, match=r"extends itself.*a\.toml -> b\.toml"):
        catalog.load(tmp_path / "a.toml")


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="resnt20_cifar.*did you mean resnet20_cifar"):
        catalog.load("resnt20_cifar")
    with pytest.raises(RecipeError, match=r"nowhere/x\.toml"):
        catalog.load("nowhere/x.toml")


@pytest.mark.parametrize(("text", "words"), [("[train\n", "not TOML"), ("[train]\nepochs = 3\n", "model is missing")])
def test_damaged_or_incomplete_file_is_named(tmp_path, text, words):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(RecipeError, match=rf"bad\.toml.*{words}"):
        catalog.load(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("text", "steps"), [("5 epochs", 500), ("1 epoch", 100), ("0.5 epochs", 50), ("400 steps", 400), ("10%", 200)]
)
def test_duration_is_converted_to_steps(text, steps):
    duration = Duration.parse(text)
    assert duration.steps(steps_per_epoch=100, total_steps=2000) == steps
    assert Duration.parse(str(duration)) == duration


@pytest.mark.parametrize("text", ["flip_lr", "pad_crop(4)", "cutout(size=8, fill=0)", "pad_crop(2, fill='reflect')"])
def test_operations_are_parsed_ignoring_surrounding_spaces(text):
    assert operation.parse(text) == operation.parse(f" {text} ")


def test_recipe_and_layer_factories_have_the_same_names():
    from cnnrecipes.layers import activation, norm
    from cnnrecipes.recipe import keys_and_defaults

    assert set(keys_and_defaults.Norm.__args__) == set(norm.__globals__["KINDS"])
    assert set(keys_and_defaults.Activation.__args__) == set(activation.__globals__["NAMES"])

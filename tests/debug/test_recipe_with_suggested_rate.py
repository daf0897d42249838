"""Recipe files that extend a recipe with a suggested learning rate."""

from __future__ import annotations

import pytest

from cnnrecipes.debug.recipe_with_suggested_rate import check_recipe_path, write_recipe
from cnnrecipes.errors import RecipeError, WriteError
from cnnrecipes.recipe import catalog

RATE = {"optimizer.learning_rate": 0.02}


def test_file_beside_the_recipe_extends_it_by_a_relative_path(tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "out").mkdir()
    base = tmp_path / "recipes" / "base.toml"
    base.write_text('extends = "resnet8_digits"\n[train]\nepochs = 7\n')
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "out" / "new.toml"
    write_recipe(path, "recipes/base.toml", 0.02, changes={"train": {"seed": 3}}, data="photos", comment="a\nb")
    assert path.read_text().splitlines()[:2] == ["# a\\nb", 'extends = "../recipes/base.toml"']
    monkeypatch.chdir("/")
    expected = catalog.load(base).change(**RATE, **{"train.seed": 3, "data.name": catalog.load(path).data.name})
    assert catalog.load(path) == expected.change(name="new")
    assert catalog.load(path).data.name.endswith("photos")


def test_recipe_in_memory_is_written_as_a_whole(tmp_path):
    recipe = catalog.load("resnet8_digits").change(**{"train.epochs": 9, "name": "mine"})
    write_recipe(tmp_path / "new.toml", recipe, 0.02)
    assert catalog.load(tmp_path / "new.toml") == recipe.change(**RATE)
    tables = {"extends": "resnet8_digits", "name": "mine", "train": {"epochs": 9}}
    write_recipe(tmp_path / "new.toml", tables, 0.02)
    assert catalog.load(tmp_path / "new.toml") == recipe.change(**RATE)


def test_recipe_itself_and_existing_files_are_refused(tmp_path):
    path = tmp_path / "base.toml"
    path.write_text('extends = "resnet8_digits"\n')
    with pytest.raises(WriteError, match="exists already"):
        check_recipe_path(path, "resnet8_digits")
    assert check_recipe_path(path, "resnet8_digits", overwrite=True) == path
    with pytest.raises(RecipeError, match="is the recipe itself"):
        check_recipe_path(path, str(path), overwrite=True)

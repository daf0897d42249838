"""Recipe files: lookup by name and path, inheritance by `extends`, errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnrecipes.errors import CNNRecipesError, RecipeError, UnknownNameError
from cnnrecipes.recipe import catalog


def write(folder: Path, **texts: str) -> Path:
    """Write recipe files by name; return their folder."""
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text)
    return folder


def test_recipe_is_loaded_by_name_path_and_object(tmp_path):
    recipe = catalog.load("resnet8_digits")
    assert catalog.load(catalog.find("resnet8_digits")) == recipe
    assert catalog.load(str(catalog.find("resnet8_digits"))) == recipe
    assert catalog.load(recipe) is recipe


def test_nearest_ancestor_takes_precedence_and_lists_are_replaced(tmp_path):
    folder = write(
        tmp_path,
        old='extends = "resnet20_cifar"\n[train]\nepochs = 3\nseed = 3\n[augment]\nops = ["cutout(2)"]\n',
        middle='extends = "old.toml"\n[train]\nepochs = 2\n[augment]\nops = ["flip_lr"]\n',
        young='extends = "middle.toml"\n[data]\nbatch_size = 7\n',
    )
    young = catalog.load(folder / "young.toml")
    assert (young.train.epochs, young.train.seed, young.data.batch_size) == (2, 3, 7)
    assert young.augment.ops == ("flip_lr",)
    assert young.optimizer.weight_decay == catalog.load("resnet20_cifar").optimizer.weight_decay


def test_relative_parent_is_relative_to_the_child_file(tmp_path, monkeypatch):
    here = write(tmp_path / "here", parent='extends = "resnet20_cifar"\n[train]\nepochs = 1\n')
    there = write(
        tmp_path / "there",
        parent='extends = "resnet20_cifar"\n[train]\nepochs = 2\n',
        child='extends = "parent.toml"\n',
    )
    monkeypatch.chdir(here)
    assert catalog.load(there / "child.toml").train.epochs == 2


def test_name_is_not_inherited(tmp_path):
    folder = write(tmp_path, old='name = "ancestor"\nextends = "resnet20_cifar"\n', young='extends = "old.toml"\n')
    assert catalog.load(folder / "old.toml").name == "ancestor"
    assert catalog.load(folder / "young.toml").name == "young"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('extends = "bad.toml"\n', r"bad\.toml extends itself"),
        ("extends = 3\n", r"bad\.toml: extends = 3; give the name or the path"),
        ('extends = "resnet20_cifr"\n', r"resnet20_cifr.*did you mean resnet20_cifar"),
        ('extends = "gone.toml"\n', r"no recipe file at 'gone\.toml'"),
        ('extends = "resnet20_cifar"\ntrain = 3\n', r"bad\.toml: train = 3"),
        ('extends = "resnet20_cifar"\n[train]\nepochs = "3"\n', r"bad\.toml: train\.epochs = '3'; .*integer"),
        ('extends = "resnet20_cifar"\n[trian]\nepochs = 3\n', r"bad\.toml: unknown key 'trian' \(did you mean train"),
    ],
)
def test_invalid_file_is_refused_with_its_name(tmp_path, text, words):
    with pytest.raises(RecipeError, match=words):
        catalog.load(write(tmp_path, bad=text) / "bad.toml")


@pytest.mark.parametrize("name", ["", ".", "RESNET20_CIFAR", "resnet20_cifar ", "resnet8_digits.tom"])
def test_recipe_name_must_match_exactly(name):
    with pytest.raises(UnknownNameError, match="unknown recipe"):
        catalog.load(name)


@pytest.mark.parametrize("path", ["a/b", "../resnet8_digits", "gone.toml", "a\0b.toml", "~no_such_user/x.toml", "/"])
def test_missing_path_is_refused(path):
    with pytest.raises(CNNRecipesError, match="no recipe file"):
        catalog.load(path)


def test_file_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"cannot read the recipe .*bad\.toml"):
        catalog.load(tmp_path / "bad.toml")

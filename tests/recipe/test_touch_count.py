"""A new recipe is one file: used by its path, or by its name in the folder of recipes."""

from __future__ import annotations

import shutil

import numpy as np

import cnnrecipes as cr
from cnnrecipes.recipe import catalog

RECIPE = """# ResNet-8 on small images, an example.
extends = "resnet8_digits"

[optimizer]
name = "adamw"
learning_rate = 0.01
warmup = "0 epochs"

[train]
epochs = 1
"""


def test_recipe_file_is_trained_by_its_path(tmp_path):
    (tmp_path / "small.toml").write_text(RECIPE)
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    run = cr.fit(tmp_path / "small.toml", (images, np.arange(40) % 2), workdir=tmp_path, progress=False)
    assert run.recipe.name == "small"
    assert run.recipe.optimizer.name == "adamw"
    assert run.finished


def test_file_in_the_recipe_folder_is_listed_by_name_and_first_line(tmp_path, monkeypatch):
    folder = shutil.copytree(catalog.folder(), tmp_path / "recipes")
    (folder / "small.toml").write_text(RECIPE)
    monkeypatch.setattr(catalog, "folder", lambda: folder)
    assert set(cr.recipes()) >= {"small", "resnet8_digits"}
    assert catalog.summary("small") == "ResNet-8 on small images, an example."
    assert catalog.load("small").train.epochs == 1

"""`find_start`: the start of new, resumed and extended trainings."""

from __future__ import annotations

import numpy as np
import pytest

from cnnrecipes.errors import RecipeError
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs.checkpoint import FOLDER, Checkpoint, Fingerprint
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.runs.weights import START
from cnnrecipes.training.start_or_resume import find_start, with_backbone

GIVEN = "/runs/old/model.keras"


def recipe(start_from: str | None) -> Recipe:
    tables = {"data": {"name": "arrays"}, "model": {"name": "resnet8"}, "optimizer": {"learning_rate": 0.1}}
    return Recipe.from_dict({**tables, "train": {"epochs": 3, "start_from": start_from}}, "test")


def write_checkpoint(folder, step: int = 4) -> Checkpoint:
    path = folder / FOLDER / f"step_{step:09d}.npz"
    path.parent.mkdir(exist_ok=True)
    state = TrainState(steps_per_epoch=10, step=step)
    Checkpoint(path, {"model/00000": np.zeros(3)}, state, Fingerprint({}, {})).write(path)
    return Checkpoint.read(path)


@pytest.mark.parametrize("start_from", [None, GIVEN])
def test_new_training_starts_with_the_weights_of_start_from(start_from):
    start = find_start(recipe(start_from), adjustable=("optimizer.warmup",))
    assert (start.run, start.checkpoint, start.weights) == (None, None, start_from)
    assert start.adjustable == ("optimizer.warmup",)


@pytest.mark.parametrize("start_from", [None, GIVEN])
@pytest.mark.parametrize(
    ("files", "step", "weights"),
    [
        pytest.param((FOLDER,), 4, None, id="checkpoint"),
        pytest.param((FOLDER, START), 4, None, id="checkpoint and copied weights"),
        pytest.param((), None, "recipe", id="killed before the first checkpoint"),
        pytest.param((START,), None, "copy", id="killed before the first checkpoint, with copied weights"),
    ],
)
def test_resumed_training_continues_or_starts_again_in_its_run(tmp_path, start_from, files, step, weights):
    if FOLDER in files:
        write_checkpoint(tmp_path)
    if START in files:
        (tmp_path / START).touch()
    start = find_start(recipe(start_from), run=(run := Run(tmp_path)))
    assert start.run is run
    assert (start.checkpoint.state.step if start.checkpoint else None) == step
    assert start.weights == {"recipe": start_from, "copy": tmp_path / START, None: None}[weights]
    assert start.adjustable == ()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vgg16", "and vgg16 is none; set model.name=keras_vgg16, Keras' own variant .* or data.standardize=train"),
        ("resnet8", "and resnet8 is none; set data.standardize=train"),
    ],
)
def test_architecture_without_own_preprocessing_is_refused_with_its_twin_of_keras(name, words):
    photos = catalog.load("photos").change(**{"model.name": name})
    with pytest.raises(RecipeError, match=words):
        with_backbone(photos, asked=False)


def test_resumed_training_reports_a_damaged_checkpoint(tmp_path):
    write_checkpoint(tmp_path, 4)
    damaged = write_checkpoint(tmp_path, 8).path
    damaged.write_bytes(damaged.read_bytes()[:50])
    said: list[str] = []
    start = find_start(recipe(None), run=Run(tmp_path), say=said.append)
    assert start.checkpoint.state.step == 4
    assert damaged.name in said[0]


def test_extension_continues_from_the_given_checkpoint_in_a_new_run(tmp_path):
    last = write_checkpoint(tmp_path)
    start = find_start(recipe(GIVEN), extension=last)
    assert (start.run, start.checkpoint, start.weights) == (None, last, None)

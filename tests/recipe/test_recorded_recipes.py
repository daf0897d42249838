"""Runs recorded under renamed keys are loaded, evaluated, resumed and extended; changes that a resume accepts."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from adaptation import NARROW

import cnnrecipes as cr
from cnnrecipes.recipe.keys_and_defaults import TABLES
from cnnrecipes.recipe.renamed_keys import RENAMED_KEYS
from cnnrecipes.recipe.toml import read_toml
from cnnrecipes.runs import checkpoint, verified_npz
from cnnrecipes.runs.model_file import ENTRY
from cnnrecipes.verify.resume_check import differences

LABELS = np.arange(60) % 2
IMAGES = (np.random.default_rng(0).integers(0, 100, (60, 8, 8, 3)) + 150 * LABELS[:, None, None, None]).astype(np.uint8)
DATA = (IMAGES, LABELS)
CHANGES = {
    "model.name": "resnet8",
    **NARROW,
    "data.image_size": 8,
    "data.batch_size": 16,
    "augment.ops": [],
    "optimizer.name": "adamw",
    "optimizer.learning_rate": 0.01,
    "optimizer.warmup": "0 epochs",
    "train.epochs": 2,
    "train.microbatches": 2,
    "train.artifact": "last",
    "devices.steps_per_execution": 1,
    "logging.checkpoint_every": "1 steps",
    "logging.loggers": [],
}


def downgraded(tables: dict) -> dict:
    """The tables of a recipe as recorded before keys were renamed."""
    result = {name: dict(table) if isinstance(table, dict) else table for name, table in tables.items()}
    for old, new in RENAMED_KEYS.items():
        (table, key), (new_table, new_key) = old.split("."), new.split(".")
        if new_key in result.get(new_table, {}):
            result[table][key] = result[new_table].pop(new_key)
    return {name: table for name, table in result.items() if name in ("name", "data", "augment", "model", "train")}


def of_first_format(document: dict) -> dict:
    """The document of a checkpoint as written before `TrainState`."""
    state = document["state"]
    parts = {
        "position": {"epoch": state["epoch"], "step": state["step"]},
        "record": {"seconds": state["epoch_seconds"]},
        "history": {"rows": state["history"]},
        "best": {"epoch": state["best_epoch"], "score": state["best_score"]},
    }
    return {
        "recipe": downgraded(document["recipe"]),
        "data": document["data"],
        "steps_per_epoch": state["steps_per_epoch"],
        "parts": parts,
    }


def record_under_old_keys(folder: Path) -> None:
    """Rewrite the recipes of a run folder: recipe.toml, checkpoints and the artifact."""
    file = folder / "recipe.toml"
    file.write_text(tomli_w.dumps(downgraded(read_toml(file))))
    for path in checkpoint.found(folder):
        arrays, document = verified_npz.read(path)
        verified_npz.write(path, arrays, of_first_format(document))
    artifact = folder / "model.keras"
    with zipfile.ZipFile(artifact) as archive:
        entries = {item.filename: archive.read(item) for item in archive.infolist()}
    about = json.loads(entries[ENTRY])
    entries[ENTRY] = json.dumps({**about, "recipe": downgraded(about["recipe"])}).encode()
    with zipfile.ZipFile(artifact, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


@pytest.fixture(scope="module")
def present(tmp_path_factory) -> cr.Run:
    folder = tmp_path_factory.mktemp("present")
    return cr.fit("resnet20_cifar", DATA, workdir=folder, progress=False, **CHANGES)


@pytest.fixture(scope="module")
def old(present, tmp_path_factory) -> Path:
    """The same run with its recipes recorded under the old keys; read-only for tests."""
    folder = shutil.copytree(present.folder, tmp_path_factory.mktemp("old") / "run")
    record_under_old_keys(folder)
    return folder


@pytest.fixture
def stopped(old, tmp_path) -> Path:
    """The old run as a kill between its last two checkpoints leaves it."""
    folder = shutil.copytree(old, tmp_path / "stopped")
    for name in ("model.keras", "metrics.json"):
        (folder / name).unlink()
    checkpoint.found(folder)[0].unlink()
    return folder


def test_old_run_has_old_keys_only(old):
    tables = read_toml(old / "recipe.toml")
    assert set(tables) == {"name", "data", "augment", "model", "train"}
    assert (tables["train"]["optimizer"], tables["train"]["accumulate"], tables["train"]["loggers"]) == ("adamw", 2, [])


def test_old_run_is_loaded_and_predicts(old, present):
    expected = present.predict(IMAGES[:3])
    for opened in (cr.load(old), cr.load(old / "model.keras")):
        assert opened.recipe == present.recipe
        assert [one.probabilities for one in opened.predict(IMAGES[:3])] == [one.probabilities for one in expected]


def test_old_run_is_evaluated(old, present):
    assert cr.load(old).evaluate(data=DATA) == present.evaluate(data=DATA)


def test_resume_of_an_old_run_is_bit_exact(stopped, present):
    run = cr.resume(stopped, DATA, progress=False)
    assert differences(present, run) == []
    assert run.recipe == present.recipe


def test_changed_recipe_of_an_old_run_is_refused_with_the_new_key(stopped):
    file = stopped / "recipe.toml"
    file.write_text(file.read_text().replace("learning_rate = 0.01", "learning_rate = 0.02"))
    with pytest.raises(cr.RunError, match=r"optimizer\.learning_rate was 0\.01 and is 0\.02"):
        cr.resume(stopped, DATA, progress=False)


def test_old_run_is_extended_under_the_new_keys(old, tmp_path):
    longer = cr.extend(old, 1, schedule="restart", data=DATA, workdir=tmp_path, progress=False)
    assert longer.recipe.optimizer.extensions == ("restart(2)",)
    assert longer.history.epoch.tolist() == [1, 2, 3]
    assert set(read_toml(longer.folder / "recipe.toml")) == {"name", *TABLES}


def test_start_from_accepts_an_old_run(old, tmp_path):
    run = cr.fit("resnet20_cifar", DATA, workdir=tmp_path, progress=False, **{**CHANGES, "train.start_from": str(old)})
    assert run.finished


def test_resume_accepts_changes_of_devices_and_logging(stopped, present):
    changes = {
        "devices": {"strategy": "single", "steps_per_execution": 2, "on_oom": "halve"},
        "logging": {"checkpoint_every": "1 h", "loggers": []},
    }
    run = cr.resume(stopped, DATA, progress=False, **changes)
    assert differences(present, run) == []
    assert run.recipe == present.recipe.change(**changes)
    assert "strategy" in read_toml(stopped / "recipe.toml")["devices"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "other"),
        ("data.batch_size", 8),
        ("augment.ops", ["flip_lr"]),
        ("model.norm", "group"),
        ("optimizer.learning_rate", 0.5),
        ("train.epochs", 5),
        ("train.microbatches", 4),
    ],
)
def test_resume_refuses_changes_of_other_keys(stopped, key, value):
    with pytest.raises(cr.RunError, match=rf"{key} \(.* cannot change; only keys of \[devices\] and \[logging\] can"):
        cr.resume(stopped, DATA, progress=False, **{key: value, "devices.on_oom": "halve"})


def test_resume_refuses_a_renamed_key_with_its_new_name(stopped):
    with pytest.raises(cr.RecipeError, match=r"train\.on_oom is now devices\.on_oom"):
        cr.resume(stopped, DATA, progress=False, **{"train.on_oom": "halve"})

"""A new schedule, optimizer or loss is one class in one file, inside or outside the package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
PROGRAM = """
import json, runpy, sys

import keras
import numpy as np

import cnnrecipes as cr
from cnnrecipes.keras_optim.recipe_optimizer import RecipeOptimizer
from cnnrecipes.keras_optim.recipe_schedule import build_schedule

labels = np.arange(40) % 2  # the images of one class are brighter
images = np.random.default_rng(0).integers(0, 128, (40, 8, 8, 1), dtype=np.uint8)
images[labels == 1] += 100
base = cr.Recipe.recorded({"data": {"name": "random", "batch_size": 8}, "optimizer": {"learning_rate": 0.01},
                           "model": {"name": "resnet8", "depths": [1], "widths": [16]}, "train": {"epochs": 2},
                           "logging": {"loggers": [], "report": "off", "watch": "off"}}, "test")
changes = json.loads(sys.argv[1])
run = cr.fit(base, data=(images, labels), workdir=".", progress=False, **changes)
tables = run.recipe.to_dict()
found = {"losses": list(run.history["loss"]), "recorded": {}, "errors": {}}
for key, value in changes.items():
    table, _, entry = key.partition(".")
    found["recorded"][key] = tables[table][entry]
    try:
        base.change(**{key: value.partition("(")[0][:-1]})
    except cr.RecipeError as error:
        found["errors"][key] = str(error)
made = RecipeOptimizer("heavy_ball(0.5)", 0.1)
again = keras.optimizers.deserialize(keras.optimizers.serialize(made))
found["read"] = again.rule == made.rule and again.get_config() == made.get_config()
linear = base.change(**{"optimizer.schedule": "linear(0.5)"})
found["rates"] = [float(build_schedule(linear.optimizer, linear.train, 5)(step)) for step in range(10)]
found["page"] = runpy.run_path(sys.argv[2])["page"]()
print(json.dumps(found))
"""
CHANGES = {
    "optimizer.schedule": "linear(floor=0.5)",
    "optimizer.name": "heavy_ball",
    "train.loss": "brier",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The report of a process with the example of docs/training.md as a plugin."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "my_plugin.py").write_text(EXAMPLE)
    paths = {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "CNNRECIPES_PLUGINS": "my_plugin"}
    command = [sys.executable, "-c", PROGRAM, json.dumps(CHANGES), str(ROOT / "docs" / "optim_table.py")]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **paths}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_model_trains_with_plugin_classes(found):
    assert found["recorded"] == CHANGES
    first, last = found["losses"]
    assert last < first


def test_plugin_schedule_has_the_values_of_its_formula(found):
    assert found["rates"] == pytest.approx([0.01 * (1 - 0.5 * step / 10) for step in range(10)], rel=1e-6)


def test_plugin_optimizer_survives_serialization(found):
    assert found["read"]


@pytest.mark.parametrize("key", CHANGES)
def test_errors_suggest_the_plugin_class(found, key):
    assert f"did you mean {CHANGES[key].partition('(')[0]}" in found["errors"][key]


@pytest.mark.parametrize(
    "row",
    [
        "| `linear(floor=0.0)` | Linear decay from the peak to the floor. `floor`: lowest learning rate, as a share of "
        "the peak. |",
        "| `heavy_ball(beta=0.9)` | Gradient descent with momentum (Polyak 1964). |",
        "| `brier` | Squared error of the probabilities (Brier 1950). |",
    ],
)
def test_generated_table_has_the_plugin_class(found, row):
    assert row in found["page"].splitlines()

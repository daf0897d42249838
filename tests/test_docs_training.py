"""docs/training.md names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnnrecipes.optim import methods
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Train

PAGE = (Path(__file__).parents[1] / "docs" / "training.md").read_text(encoding="utf-8")
# Said elsewhere, or in the first example.
ELSEWHERE = {"seed", "momentum"}


@pytest.mark.parametrize("table", [methods.SCHEDULES, methods.OPTIMIZERS, methods.LOSSES])
def test_every_method_and_parameter_is_named(table):
    for name, method in table.items():
        (line,) = [line for line in PAGE.splitlines() if re.match(rf"\| .*`{name}[`(]", line)][:1]
        assert all(field in line for field in method.model_fields), line


def test_every_key_is_named():
    assert not [key for key in Train.model_fields if key not in ELSEWHERE | {"extensions"} and f"{key}" not in PAGE]


def test_the_example_can_be_trained():
    """Each line of it is a key and a value that a recipe takes."""
    lines = re.search(r"```toml\n\[train\]\n(.*?)```", PAGE, re.S)[1].splitlines()
    changes = dict(re.match(r"(\w+) = (.*?)\s*(?:#.*)?$", line).groups() for line in lines)
    read = {
        f"train.{key}": value.strip('"') if value.startswith('"') else float(value) for key, value in changes.items()
    }
    read["train.epochs"] = int(read["train.epochs"])
    assert catalog.load("resnet20_cifar").change(**read).train.warmup.amount == 5

"""docs/training.md names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnnrecipes.optim.loss import LOSSES
from cnnrecipes.optim.optimizer import OPTIMIZERS
from cnnrecipes.optim.schedule import SCHEDULES
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.tables import Devices, Logging, Optimizer, Train
from cnnrecipes.recipe.toml import tomllib

PAGE = (Path(__file__).parents[1] / "docs" / "training.md").read_text(encoding="utf-8")
# Said elsewhere, or in the first example.
ELSEWHERE = {"seed", "momentum", "extensions"}


@pytest.mark.parametrize("table", [SCHEDULES, OPTIMIZERS, LOSSES])
def test_every_method_and_parameter_is_named(table):
    for name, method in table.items():
        (line,) = [line for line in PAGE.splitlines() if re.match(rf"\| .*`{name}[`(]", line)][:1]
        assert all(field in line for field in method.model_fields), line


@pytest.mark.parametrize("table", [Optimizer, Train, Devices, Logging])
def test_every_key_is_named(table):
    assert not [key for key in table.model_fields if key not in ELSEWHERE and key not in PAGE]


def test_the_example_can_be_trained():
    """Each line of it is a key and a value that a recipe takes."""
    tables = tomllib.loads(re.search(r"```toml\n(.*?)```", PAGE, re.S)[1])
    assert catalog.load("resnet20_cifar").change(**tables).optimizer.warmup.amount == 5

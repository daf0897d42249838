"""docs/training.md documents every schedule, optimizer, loss and recipe key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnnrecipes.optim.loss_registry import LOSSES
from cnnrecipes.optim.optimizer_registry import OPTIMIZERS
from cnnrecipes.optim.schedule_registry import SCHEDULES
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.keys_and_defaults import Devices, Logging, Optimizer, Train
from cnnrecipes.recipe.toml import tomllib

PAGE = (Path(__file__).parents[1] / "docs" / "training.md").read_text(encoding="utf-8")
# Documented elsewhere, or in the first example.
ELSEWHERE = {"seed", "momentum", "extensions"}


@pytest.mark.parametrize("table", [SCHEDULES, OPTIMIZERS, LOSSES])
def test_every_method_and_parameter_is_documented(table):
    for name, method in table.items():
        (line,) = [line for line in PAGE.splitlines() if re.match(rf"\| .*`{name}[`(]", line)][:1]
        assert all(field in line for field in method.model_fields), line


@pytest.mark.parametrize("table", [Optimizer, Train, Devices, Logging])
def test_every_key_is_documented(table):
    assert not [key for key in table.model_fields if key not in ELSEWHERE and key not in PAGE]


def test_example_is_a_valid_recipe():
    """Every line of the example is a valid key and value of a recipe."""
    tables = tomllib.loads(re.search(r"```toml\n(.*?)```", PAGE, re.S)[1])
    assert catalog.load("resnet20_cifar").change(**tables).optimizer.warmup.amount == 5

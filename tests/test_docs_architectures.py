"""docs/architectures.md: its code runs and its options match the recipe's."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from cnnrecipes.models import registry
from cnnrecipes.recipe import schema

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "architectures.md").read_text(encoding="utf-8")


@pytest.fixture
def _restored_registry():
    """Remove what the page registers."""
    rows = dict(registry._ROWS)
    yield
    registry._ROWS.clear()
    registry._ROWS.update(rows)


@pytest.mark.usefixtures("_restored_registry")
def test_python_code_runs():
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(compile(block, "architectures.md", "exec"), names)
    assert [tuple(m.shape[1:]) for m in names["pyramid"].outputs] == [
        (24, 16, 64),
        (12, 8, 128),
        (6, 4, 256),
        (3, 2, 512),
    ]
    assert names["model"].name == "all_cnn"


def test_every_architecture_and_option_is_documented():
    made = runpy.run_path(str(DOCS / "architectures_table.py"))
    assert all(f"| `{name}` |" in PAGE for name in registry.ARCHITECTURES)
    options = {key for row in registry.ARCHITECTURES.values() for key in row.options} - {"norm", "head"}
    assert options == set(made["VALUES"])
    assert all(f"`{key}`" in PAGE for key in schema.Model.model_fields if key != "name")

"""What is written about the package is true: README, CI, the recipe table, the notebooks."""

from __future__ import annotations

import runpy
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from cnnrecipes.recipe.schema import all_keys

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "colab").glob("*.ipynb"))


def test_ci_calls_the_readmes_test_command():
    commands = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    assert commands[1].endswith("python -m pytest")
    assert commands[1] in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_recipe_table_is_up_to_date():
    table = runpy.run_path(str(ROOT / "docs" / "recipes_table.py"))["table"]()
    assert (ROOT / "recipes" / "README.md").read_text() == table


def test_the_page_of_augmentation_is_up_to_date():
    made = runpy.run_path(str(ROOT / "docs" / "augmentation_table.py"))
    assert (ROOT / "docs" / "augmentation.md").read_text(encoding="utf-8") == made["page"]()


def test_the_tables_of_schedules_optimizers_and_losses_are_up_to_date():
    made = runpy.run_path(str(ROOT / "docs" / "optim_table.py"))
    assert (ROOT / "docs" / "training.md").read_text(encoding="utf-8") == made["page"]()


def test_the_page_about_data_names_every_key_of_the_recipe_that_it_should():
    page = (ROOT / "docs" / "data.md").read_text()
    keys = {key for key in all_keys() if key.startswith("data.")} - {"data.name", "data.batch_size"}
    assert not {key for key in keys if key not in page}


def test_the_page_of_architectures_is_up_to_date():
    made = runpy.run_path(str(ROOT / "docs" / "architectures_table.py"))
    assert (ROOT / "docs" / "architectures.md").read_text(encoding="utf-8") == made["page"]()


def test_the_tree_of_modules_is_up_to_date():
    made = runpy.run_path(str(ROOT / "docs" / "module_tree.py"))
    assert (ROOT / "docs" / "modules.md").read_text(encoding="utf-8") == made["page"]()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_pictures_and_no_logs(path, tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in code), "notebooks are committed without outputs"
    settings = next(cell for cell in code if "parameters" in cell.metadata.get("tags", []))
    settings.source = settings.source.replace("EPOCHS = 12", "EPOCHS = 2").replace("PIXELS = 32", "PIXELS = 16")
    assert "EPOCHS = 2" in settings.source or "PIXELS = 16" in settings.source
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    pictures = [out for cell in code for out in cell.outputs if "image/png" in out.get("data", {})]
    assert len(pictures) >= 2
    outputs = [out for cell in code for out in cell.outputs]
    assert "Warning" not in str(outputs)
    assert not [out for out in outputs if out.get("name") == "stderr"]
    if "EPOCHS" in settings.source:
        assert list((tmp_path / "runs").glob("*/model.keras"))
        shown = "".join(out["data"].get("text/html", "") for out in outputs if "data" in out)
        assert "Check of photos.zip: training may go on" in shown
        assert "(n = 60, 95% interval " in shown

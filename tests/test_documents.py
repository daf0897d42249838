"""README, CI, generated pages and notebooks are up to date with the code."""

from __future__ import annotations

import runpy
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from cnnrecipes.recipe.schema import all_keys

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "colab").glob("*.ipynb"))


def test_ci_runs_the_test_command_of_the_readme():
    commands = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    assert commands[1].endswith("python -m pytest")
    assert commands[1] in (ROOT / ".ci" / "run").read_text().splitlines()


def test_recipe_table_is_up_to_date():
    table = runpy.run_path(str(ROOT / "docs" / "recipes_table.py"))["table"]()
    assert (ROOT / "recipes" / "README.md").read_text() == table


def test_augmentation_page_is_up_to_date():
    made = runpy.run_path(str(ROOT / "docs" / "augmentation_table.py"))
    assert (ROOT / "docs" / "augmentation.md").read_text(encoding="utf-8") == made["page"]()


def test_schedule_optimizer_and_loss_tables_are_up_to_date():
    made = runpy.run_path(str(ROOT / "docs" / "optim_table.py"))
    assert (ROOT / "docs" / "training.md").read_text(encoding="utf-8") == made["page"]()


def test_data_page_documents_every_data_key():
    page = (ROOT / "docs" / "data.md").read_text()
    keys = {key for key in all_keys() if key.startswith("data.")} - {"data.name", "data.batch_size"}
    assert not {key for key in keys if key not in page}


def test_architectures_page_is_up_to_date():
    made = runpy.run_path(str(ROOT / "docs" / "architectures_table.py"))
    assert (ROOT / "docs" / "architectures.md").read_text(encoding="utf-8") == made["page"]()


def test_module_tree_is_up_to_date():
    made = runpy.run_path(str(ROOT / "docs" / "module_tree.py"))
    assert (ROOT / "docs" / "modules.md").read_text(encoding="utf-8") == made["page"]()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_shows_figures_without_logs(path, tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in code), "notebooks are committed without outputs"
    settings = next(cell for cell in code if "parameters" in cell.metadata.get("tags", []))
    before = settings.source
    settings.source = before.replace("EPOCHS = 12", "EPOCHS = 1").replace("PIXELS = 32", "PIXELS = 16")
    assert settings.source != before
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

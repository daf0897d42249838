"""Robustness in the report: 12 corruptions at 5 strengths, and tables that are incomplete or damaged."""

from __future__ import annotations

import re

import pytest
from page_document import Document, document, squeezed
from small_run import predictions, write_run

from cnnrecipes.explain import CORRUPTIONS
from cnnrecipes.report.section import MISSING

HEAD = "corruption,strength,accuracy,n\n"


def test_all_corruptions_and_strengths_are_drawn_with_their_split(measured_run):
    text = (measured_run.folder / "report.html").read_text(encoding="utf-8")
    table = re.search(r'<table class="matrix heatmap">(.*?)</table>', text, re.S)[1]
    found = Document(f"<table>{table}</table>")
    cells = [one for one in found.found("td") if one["class"] != "sum"]
    assert len(cells) == 12 * 5
    for name in CORRUPTIONS:
        assert name.replace("_", " ") in found.text
    assert {one["class"] for one in cells[:5]} == {one["class"] for one in cells[5:10]}  # equal accuracies
    assert "on 359 test images" in squeezed(text)
    assert "The model loses 50 points under" in text


def test_missing_cells_are_dashes(tmp_path):
    run = write_run(tmp_path / "run", kept=[predictions()])
    rows = "none,0,0.9,120\nblur,1,0.8,120\nblur,5,,120\nnoise,1,0.7,120\nnoise,5,0.5,120\n"
    (run.folder / "robustness.csv").write_text(HEAD + rows)
    found = document(run)
    assert "robustness" in found.sections
    assert MISSING in found.text.partition("Accuracy on 120 images")[2]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", HEAD + "none,0,0.9,120\n", HEAD + "blur,strong,high,many\n"])
def test_damaged_and_empty_tables_are_reasons(tmp_path, text):
    run = write_run(tmp_path / "run", kept=[predictions()])
    (run.folder / "robustness.csv").write_text(text)
    found = document(run)
    assert "robustness" not in found.sections
    assert "robustness.csv" in found.text

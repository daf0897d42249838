"""Likely label errors in the report, from the CSV file of `label_issues`."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from page_document import Document, document, squeezed
from small_run import HOSTILE, predictions, write_run

import cnnrecipes as cr
from cnnrecipes.debug.label_issues import write_label_issues

COLUMNS = ["file", "position", "given", "suggested", "score"]
NAMES = ("NA", "007", "cat")


def arrays(names=NAMES, n=30) -> dict:
    """Training and test images of classes, as `fit` takes them."""
    images = np.random.default_rng(0).integers(0, 255, (n, 8, 8, 1), np.uint8)
    return {"train": (images, np.arange(n) % len(names)), "test": (images, np.arange(n) % len(names))} | {
        "class_names": list(names)
    }


def run_with(folder, rows, names=NAMES, **changes) -> cr.Run:
    """A run in which issues were found, by the function that writes them."""
    run = write_run(folder, class_names=names, kept=[predictions("test", names)], **changes)
    write_label_issues(pd.DataFrame(rows, columns=COLUMNS), run.folder / "label_issues.csv")
    return run


def cards(found) -> list[dict]:
    return [one for one in found.found("button", "card") if "rather" in one["data-facts"]]


def test_issues_are_pictures_with_grad_cam_of_the_suggested_class(measured_run):
    found = Document((measured_run.folder / "report.html").read_text(encoding="utf-8"))
    assert [one["data-title"] for one in cards(found)] == ["train[0]", "train[2]", "train[6]"]
    assert {one["data-heat"] for one in cards(found)} == {"Grad-CAM of 9: brighter, more evidence"}
    assert found.count("img", "heat") == 24 + 3
    assert "3 labels of the training and validation images are probably wrong" in squeezed(found.text)
    recipe, path = (measured_run.folder / name for name in ("recipe.toml", "label_issues.csv"))
    assert f"cnnrecipes fit {recipe} data.corrections={path}" in found.text


def test_class_names_like_missing_values_and_numbers_are_kept(tmp_path):
    run = run_with(tmp_path / "run", [("train[0]", 0, "NA", "007", 0.02)])
    found = document(run, data=arrays())
    assert cards(found)[0]["data-facts"] == "labelled NA (probability 2.0%), rather 007"


def test_first_of_many_are_shown(tmp_path):
    rows = [(f"train[{i % 30}]", i % 30, "NA", "cat", i / 100) for i in range(60)]
    found = document(run_with(tmp_path / "run", rows), data=arrays())
    assert len(cards(found)) == 24
    assert "60 labels" in found.text
    assert "the 24 least likely are shown" in found.text


def test_earlier_corrections_are_no_issues_and_decisions_are_shown(tmp_path):
    run = run_with(tmp_path / "run", [("train[0]", 0, "NA", "007", 0.02)])
    path = run.folder / "label_issues.csv"
    path.write_text(path.read_text().replace("0.02,", "0.02,007") + "train[9],,NA,,,cat\n")
    found = document(run, data=arrays())
    assert len(cards(found)) == 1
    assert "1 label of the training" in found.text
    assert cards(found)[0]["data-facts"].endswith("; corrected to 007")


@pytest.mark.parametrize("data", [None, "arrays"])
def test_names_are_text(tmp_path, data):
    rows = [(f"{HOSTILE[1]}[{i}]" if data is None else f"train[{i}]", i, HOSTILE[i], HOSTILE[0], 0.1) for i in range(5)]
    run = run_with(tmp_path / "run", rows, HOSTILE)
    found = document(run, data=None if data is None else arrays(HOSTILE))
    assert found.count("script") == 1
    assert not [one for one in found.found("img") if "onerror" in one]
    assert "\u202e" not in (run.folder / "report.html").read_text(encoding="utf-8")
    assert HOSTILE[0] in found.text


def test_moved_data_leave_a_table(tmp_path):
    rows = [("ant/1.png", 1, "NA", "cat", 0.25)]
    run = run_with(tmp_path / "run", rows, **{"data.name": str(tmp_path / "moved")})
    found = document(run)
    section = found.text.partition("Likely label errors")[2]
    assert "The pictures are missing:" in section
    assert "ant/1.png" in section
    assert "25.0%" in section


def test_images_that_are_gone_are_counted(tmp_path):
    rows = [("train[0]", 0, "NA", "cat", 0.1), ("train[99]", 99, "NA", "cat", 0.2)]
    found = document(run_with(tmp_path / "run", rows), data=arrays())
    assert "1 of them is not in the data any more." in found.text
    assert len(cards(found)) == 2


def test_none_found_is_said(tmp_path):
    found = document(run_with(tmp_path / "run", []), data=arrays())
    assert "No label of the training and validation images is probably wrong." in found.text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, r"they were not looked for: cr\.label_issues\(run, data"),
        ("file,given\na,b\n", "label_issues.csv does not have the columns"),
        ("", "label_issues.csv cannot be read"),
    ],
)
def test_missing_and_damaged_lists_are_reasons(tmp_path, text, reason):
    run = write_run(tmp_path / "run", kept=[predictions()])
    if text is not None:
        (run.folder / "label_issues.csv").write_text(text)
    found = document(run)
    assert "label-issues" not in found.sections
    assert re.search(reason, found.text)

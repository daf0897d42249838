"""Accuracy on parts of the data in the report."""

from __future__ import annotations

import re
from dataclasses import replace

from page_document import document, squeezed
from small_run import HOSTILE, predictions, write_run


def of_folders(names):
    """Predictions of images in folders in turn; those in the last are wrong."""
    found = predictions(right=1.0)
    classes = [file.partition("/")[0] for file in found.files]
    files = tuple(f"{name}/{names[i % len(names)]}/{i}.png" for i, name in enumerate(classes))
    probabilities = found.probabilities.copy()
    last = [i for i in range(len(found)) if i % len(names) == len(names) - 1]
    probabilities[last] = probabilities[last][:, [1, 2, 0]]
    return replace(found, files=files, probabilities=probabilities)


def test_real_run_has_parts_by_brightness(digits_run, tmp_path):
    found = document(digits_run, path=tmp_path / "report.html")
    text = squeezed(found.text)
    assert "Brightness (mean gray value, 0 to 255)" in text
    assert "None of 3 parts is significantly worse than the rest." in text or "Significantly worse" in text
    assert found.sections.index("classes") < found.sections.index("slices") < found.sections.index("losses")


def test_worse_folder_is_named_and_marked_without_the_images(tmp_path):
    run = write_run(tmp_path / "run", kept=[of_folders(["day", "dusk", "night"])], **{"data.name": str(tmp_path / "x")})
    found = document(run)
    text = squeezed(found.text)
    assert "Significantly worse than the rest: folder night (0.0% of 40)." in text
    assert "Image size and brightness are missing:" in text
    assert found.count("tr", "worst") == 1
    assert len(found.found("table", "slices")) == 1


def test_intervals_are_inside_of_the_bar(tmp_path):
    found = document(write_run(tmp_path / "run", kept=[of_folders(["day", "night"])]))
    reaches = [re.fullmatch(r"M([-\d.]+) 6H([-\d.]+)", one["d"]).groups() for one in found.found("path", "reach")]
    drawn = [*found.found("path", "at"), *found.found("path", "whole")]
    marks = [re.match(r"M([-\d.]+) ", one["d"]).groups() for one in drawn]
    ends = [float(number) for some in (*reaches, *marks) for number in some]
    assert len(reaches) == 3 + 2  # of the classes and of the folders
    assert min(ends) >= 0
    assert max(ends) <= 100


def test_folder_names_are_text(tmp_path):
    names = [name.replace("/", "") for name in HOSTILE]
    found = document(write_run(tmp_path / "run", kept=[of_folders(names)]))
    assert found.count("script") == 1
    assert names[0] in found.text


def test_parts_that_do_not_exist_are_a_reason(tmp_path):
    found = document(write_run(tmp_path / "run", kept=[predictions()]))
    assert "slices" not in found.sections
    assert "Parts of the data" in found.text

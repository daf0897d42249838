"""The map of the features in the report: points by class, thumbnails, and what the script tells of them."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from page_document import Document, document, squeezed
from PIL import Image
from small_run import HOSTILE, predictions, write_run

import cnnrecipes as cr
from cnnrecipes.data.unreadable_files import open_readable
from cnnrecipes.recipe.schema import Data
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.thumbnails import sheet


def write_embedding(run: cr.Run, split: str = "test", n: int | None = None, first: int = 0) -> None:
    """Write an embedding.csv of images of a split at random positions."""
    kept = run.predictions(split)
    count = len(kept) if n is None else n
    at = np.random.default_rng(0).normal(size=(count, 2))
    columns = {"file": "f", "position": first + np.arange(count), "label": "a", "x": at[:, 0], "y": at[:, 1]}
    pd.DataFrame(columns).assign(split=split).to_csv(run.folder / "embedding.csv", index=False)


def told(text: str) -> dict:
    """What the script knows of the points."""
    return json.loads(re.search(r'class="cloud".*?<script type="application/json">(.*?)</script>', text, re.S)[1])


@pytest.fixture(scope="module")
def of_digits(measured_run) -> tuple[cr.Run, Document, str]:
    """A real run, its report, and that as text."""
    text = (measured_run.folder / "report.html").read_text(encoding="utf-8")
    return measured_run, Document(text), text


def test_each_image_is_a_point_and_wrong_ones_are_outlined(of_digits):
    run, found, _ = of_digits
    kept = run.predictions("test")
    points = found.found("path", "point")
    assert sorted(int(one["data-i"]) for one in points if "data-i" in one) == list(range(len(kept)))
    wrong = [int(one["data-i"]) for one in points if "bad" in one["class"].split()]
    assert wrong == np.flatnonzero(~kept.right).tolist()
    assert "359 test images" in found.text


def test_script_tells_label_prediction_and_file_of_each_point(of_digits):
    run, _, text = of_digits
    kept, known = run.predictions("test"), told(text)
    assert known["names"] == list(kept.class_names)
    assert known["truth"] == kept.truth.tolist()
    assert known["predicted"] == kept.predicted.tolist()
    assert known["files"] == list(kept.files)
    assert known["shown"] == [1] * len(kept)
    at = np.asarray(known["at"])
    assert at.min() >= 0
    assert (at.max(axis=0) <= [720, 520]).all()


def test_thumbnails_are_those_of_the_points(of_digits):
    run, found, text = of_digits
    known = told(text)
    uri = next(one["href"] for tag, one in found.elements if tag == "image")
    whole = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    source, _ = open_readable(None, run.recipe.data)
    with source:
        for i in (0, 7, 200, 358):
            left, top = i % known["columns"] * 8, i // known["columns"] * 8
            image = source.split("test").read(i)[0]
            assert np.array_equal(whole[top : top + 8, left : left + 8], image.repeat(3, -1))


def test_photos_do_not_bleed_into_their_neighbors(tmp_path):
    for number in range(20):
        pixels = np.full((30, 60, 3), [[255, 0, 0], [0, 0, 255]][number % 2], np.uint8)
        path = tmp_path / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    spec = Data(name="photos", layout="classes", validation=0, image_size=(30, 60), channels=3)
    source, _ = open_readable(str(tmp_path), spec)
    with source:
        run = write_run(tmp_path / "run")
        facts = Facts(run, run.recipe, source=source, image_shape=(30, 60, 3))
        positions = source.split("train").positions.tolist()
        found = sheet(facts, [("train", position) for position in positions])
    assert (found.width, found.height, found.cell) == (60, 30, (64, 32))
    whole = np.asarray(Image.open(io.BytesIO(base64.b64decode(found.uri.partition(",")[2])))).astype(int)
    for i, label in enumerate(source.split("train").labels.tolist()):
        left, top = found.corner(i)
        one = whole[top : top + found.height, left : left + found.width]
        assert np.abs(one - [[255, 0, 0], [0, 0, 255]][label]).max() < 12


def test_many_images_are_a_part_of_a_small_page(tmp_path):
    names = [f"class {number}" for number in range(200)]
    run = write_run(tmp_path / "run", class_names=names, kept=[predictions("test", names, n=10_000)])
    write_embedding(run)
    found = document(run)
    assert len([one for one in found.found("path", "point") if "data-i" in one]) == 2000
    assert "2,000 of 10,000 test images" in squeezed(found.text)
    assert (run.folder / "report.html").stat().st_size < 1_500_000
    assert "Blue: predicted rightly; orange, outlined: wrongly." in found.text
    kinds = {tuple(one["class"].split()[1:]) for one in found.found("path", "point")}
    assert kinds == {("run0",), ("run1", "bad")}


def test_moved_data_leave_the_points(tmp_path):
    run = write_run(tmp_path / "run", kept=[predictions()], **{"data.name": str(tmp_path / "moved")})
    write_embedding(run)
    found = document(run)
    assert "The thumbnails are missing:" in found.text
    assert found.count("image") == 0
    assert len([one for one in found.found("path", "point") if "data-i" in one]) == 120


def test_names_are_text(tmp_path):
    names = [f"{HOSTILE[0]}{number}" for number in range(4)] + list(HOSTILE)
    run = write_run(tmp_path / "run", class_names=names, kept=[predictions("test", names)])
    write_embedding(run)
    found = document(run)
    assert found.count("script") == 2
    text = (run.folder / "report.html").read_text(encoding="utf-8")
    assert told(text)["names"] == names
    assert "\u202e" not in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda run: None, "it was not computed"),
        (lambda run: write_embedding(run, first=100), "is not of the images that the run was evaluated on"),
        (lambda run: write_embedding(run, n=1), "is not of the images"),
        (lambda run: (run.folder / "embedding.csv").write_text("x,y\n1,2\n"), "is not of the images"),
        (lambda run: (run.folder / "embedding.csv").write_text(""), "embedding.csv cannot be read"),
    ],
)
def test_missing_and_other_embeddings_are_reasons(tmp_path, change, reason):
    run = write_run(tmp_path / "run", kept=[predictions()])
    change(run)
    found = document(run)
    assert "embedding" not in found.sections
    assert reason in found.text


def test_equal_positions_are_drawn(tmp_path):
    run = write_run(tmp_path / "run", kept=[predictions(n=3)])
    (run.folder / "embedding.csv").write_text("split,position,x,y\n" + "".join(f"test,{i},1,1\n" for i in range(3)))
    assert "embedding" in document(run).sections

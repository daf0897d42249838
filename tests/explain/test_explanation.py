"""`explain_run` and the command explain: files, sentences, and data that is not there any more."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from adaptation import NARROW, SMALL
from PIL import Image

import cnnrecipes as cr
from cnnrecipes.cli import explain as command
from cnnrecipes.errors import DataError, UnknownNameError
from cnnrecipes.explain import PARTS, RunData, explain_run

NAMES = {
    *("confusion.csv", "confusion.png", "top_losses.csv", "top_losses.png", "grad_cam.png", "slices.csv"),
    *("embedding.csv", "embedding.png", "robustness.csv", "robustness.png"),
}


@pytest.fixture(scope="module")
def folder_run(tmp_path_factory):
    """A run on a folder of 40 photos of two classes."""
    root = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for number in range(40):
        pixels = random.integers(0, 150, (16, 20, 3)) + [[[80, 0, 0]], [[0, 80, 0]]][number % 2]
        path = root / "data" / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    (root / "c.csv").write_text("file,given,label\na/00.png,a,b\n")
    changes = {**SMALL, **NARROW, "train.epochs": 1, "data.corrections": str(root / "c.csv")}
    return cr.fit("resnet20_cifar", data=root / "data", workdir=root / "runs", progress=False, **changes)


def test_run_keeps_its_corrections_and_is_evaluated_with_them(folder_run, tmp_path):
    path = folder_run.folder.parents[1] / "c.csv"
    assert (folder_run.folder / "label_corrections.csv").read_bytes() == path.read_bytes()
    assert folder_run.evaluate(split="validation")["accuracy"] == folder_run.metrics["validation"]["accuracy"]
    moved = path.rename(tmp_path / "moved.csv")
    with pytest.raises(DataError, match=r"data.corrections = .*c.csv' does not exist"):
        folder_run.evaluate(split="validation")
    moved.rename(path)


def test_the_command_line_knows_all_parts():
    assert tuple(PARTS) == command._PARTS


def test_explanation_writes_tables_and_pictures(folder_run, tmp_path):
    run = cr.Run.open(shutil.copytree(folder_run.folder, tmp_path / "run"))
    found = explain_run(run, tmp_path / "made", parts=list(PARTS), n=3, progress=False)
    kept = {run.folder / name for name in ("embedding.csv", "robustness.csv")}
    assert kept <= set(found.files)
    assert {path.name for path in found.files} == NAMES
    assert all(path.stat().st_size > 0 for path in found.files)
    assert len(found.sentences) == len(PARTS)
    assert not [line for line in found.sentences if line.startswith("no ") and "no slice" not in line], found.sentences
    assert len(found.tables["top-losses"]) == 3
    assert set(found.tables["top-losses"]["file"].str.split("/").str[0]) <= {"a", "b"}
    with Image.open(tmp_path / "made" / "grad_cam.png") as picture:
        assert min(picture.size) > 100
    table, predicted = pd.read_csv(run.folder / "embedding.csv"), run.predictions("validation")
    assert set(table["split"]) == {"validation"}
    assert table["position"].tolist() == predicted.positions.tolist()
    assert table["file"].tolist() == list(predicted.files)


def test_tables_of_other_images_are_not_kept_in_the_run(folder_run, tmp_path):
    run = cr.Run.open(shutil.copytree(folder_run.folder, tmp_path / "run"))
    found = explain_run(run, tmp_path / "made", parts=["embedding"], split="train", progress=False)
    assert (tmp_path / "made" / "embedding.csv") in found.files
    assert not (run.folder / "embedding.csv").exists(), "the report is about images that the model has not seen"


def test_run_that_cannot_be_written_is_explained(folder_run, tmp_path):
    run = cr.Run.open(shutil.copytree(folder_run.folder, tmp_path / "run"))
    (run.folder / "embedding.csv").mkdir()
    found = explain_run(run, tmp_path / "made", parts=["embedding"], progress=False)
    assert (tmp_path / "made" / "embedding.csv") in found.files
    assert any("the report of the run will not have it" in sentence for sentence in found.sentences)


def test_command_explains_given_images(folder_run, run_cli):
    image = next((folder_run.folder.parents[1] / "data" / "a").iterdir())
    status, out, err = run_cli(
        "explain", str(folder_run.folder), "--what", "grad-cam", "--image", str(image), "--output", "made", "--json"
    )
    assert (status, err) == (0, "wrote made/grad_cam.png\n")
    document = json.loads(out)
    assert document["files"] == ["made/grad_cam.png"]
    assert "Grad-CAM of 1 image at the layer" in document["sentences"][0]
    status, _, err = run_cli("explain", str(folder_run.folder), "--what", "grad-cam", "--output", "made")
    assert status == 2
    assert "--overwrite" in err


def test_command_prints_a_sentence_for_each_part(folder_run, run_cli):
    status, out, _ = run_cli("explain", str(folder_run.folder), "-n", "2")
    assert status == 0
    assert "largest loss (validation): " in out
    assert "wrote explain/" in out


def test_unknown_parts_and_splits_are_named(folder_run, tmp_path):
    with pytest.raises(UnknownNameError, match="top-losses"):
        explain_run(folder_run, tmp_path, parts=["losses"])
    with pytest.raises(DataError, match="no test split"):
        explain_run(folder_run, tmp_path, split="test", progress=False)


def test_other_classes_are_named(digits_run, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), np.uint8)
    other = {"train": (images, np.arange(60) % 3), "class_names": ["x", "y", "z"]}
    with pytest.raises(DataError, match="'x', 'y', 'z'"):
        explain_run(digits_run, tmp_path, data=other, parts=["grad-cam"], progress=False)


def test_moved_data_is_said_and_given_data_is_taken(folder_run, tmp_path):
    run = cr.Run.open(shutil.copytree(folder_run.folder, tmp_path / "run"))
    data = shutil.copytree(folder_run.folder.parents[1] / "data", tmp_path / "data")
    run.write("recipe.toml", (run.folder / "recipe.toml").read_text().replace(run.recipe.data.name, "/nowhere/photos"))
    moved = cr.Run.open(run.folder)
    found = explain_run(moved, tmp_path / "made", data=data, n=2, progress=False)
    assert (tmp_path / "made" / "top_losses.png").exists()
    assert len(found.sentences) == 4
    image = next((data / "a").iterdir())
    without = explain_run(moved, tmp_path / "kept", images=[image], n=2, progress=False)
    assert "/nowhere/photos" in " ".join(without.sentences)
    assert {path.name for path in without.files} >= {"confusion.csv", "top_losses.csv", "grad_cam.png"}


def test_image_that_cannot_be_read_any_more_leaves_the_others(folder_run, tmp_path, monkeypatch):
    run = cr.Run.open(shutil.copytree(folder_run.folder, tmp_path / "run"))
    data = shutil.copytree(folder_run.folder.parents[1] / "data", tmp_path / "data")
    real, broken = RunData.read, []

    def read(self, name):
        if not broken or name == broken[0]:
            broken.append(name)
            raise DataError(f"cannot read {name!r} of photos: not an image; restore the file")
        return real(self, name)

    monkeypatch.setattr(RunData, "read", read)
    found = explain_run(run, tmp_path / "made", data=data, parts=["top-losses", "grad-cam"], n=3, progress=False)
    assert "Grad-CAM of 2 images" in found.sentences[-1]
    assert (tmp_path / "made" / "top_losses.png").exists()

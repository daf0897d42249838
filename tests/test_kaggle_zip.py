"""From a Kaggle zip file to a prediction in two commands, the training with the installed console script."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


def command(folder, *arguments):
    """Run the installed console script in a folder."""
    script = Path(sys.executable).with_name("cnnrecipes")
    return subprocess.run([script, *map(str, arguments)], capture_output=True, text=True, cwd=folder, check=False)


@pytest.fixture
def cats_dogs(hymenoptera, tmp_path):
    """cats_dogs.zip in Kaggle's layout: photos of ants and bees under the class names cats and dogs."""
    with zipfile.ZipFile(tmp_path / "cats_dogs.zip", "w") as archive:
        for cls, name in (("ants", "cats"), ("bees", "dogs")):
            for split, there, count in (("train", "training_set", 30), ("val", "test_set", 15)):
                for i, photo in enumerate(sorted((hymenoptera / split / cls).glob("*.jpg"))[:count], 1):
                    archive.write(photo, f"dataset/{there}/{name}/{name[:-1]}.{i}.jpg")
                    archive.writestr(f"__MACOSX/dataset/{there}/{name}/._{name[:-1]}.{i}.jpg", b"\0\5\x16\7")
        archive.writestr("dataset/.DS_Store", b"\0\0\0\1Bud1")
        archive.writestr("dataset/training_set/.DS_Store", b"\0\0\0\1Bud1")
    return tmp_path / "cats_dogs.zip"


def test_kaggle_zip_is_trained_on_and_predicted_in_two_commands(run_cli, cats_dogs, hymenoptera, tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(next((hymenoptera / "val" / "bees").glob("*.jpg")).read_bytes())
    small = ["train.epochs=1", "data.image_size=16", "augment.ops=[]"]
    small += ["model.name=resnet8", "model.depths=[1]", "model.widths=[16]"]
    fitted = command(tmp_path, "fit", "photos_from_scratch", "--data", "cats_dogs.zip", *small)
    assert fitted.returncode == 0, fitted.stderr
    (run,) = (tmp_path / "runs").iterdir()
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test"]["n"] == 30  # the whole test_set
    assert metrics["validation"]["n"] == 6  # a tenth of training_set
    assert "train in training_set/, test in test_set/" in fitted.stdout
    assert "3 system files (.DS_Store, __MACOSX); left out" in fitted.stdout
    status, predicted, _ = run_cli("predict", str(run.relative_to(tmp_path)), "photo.jpg")
    assert status == 0
    assert re.fullmatch(r"photo\.jpg: (cats|dogs) \d+\.\d%  (cats|dogs) \d+\.\d%\n", predicted)
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "photo.jpg", "cats_dogs.zip"}


def test_data_page_shows_these_commands():
    page = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    assert "$ cnnrecipes fit photos_from_scratch --data cats_dogs.zip\n$ cnnrecipes predict RUN photo.jpg\n" in page


def test_check_data_reads_the_zip_as_fit_does(run_cli, cats_dogs, tmp_path):
    status, said, _ = run_cli("check-data", "cats_dogs.zip")
    assert status == 0
    assert re.search(r"cats +30 +15\ndogs +30 +15\n", said)
    assert (tmp_path / "check" / "cats_dogs" / "report.html").is_file()


def test_ambiguous_layout_is_resolved_by_the_layout_option(run_cli, hymenoptera, tmp_path):
    for name, split in (("one", "train"), ("two", "val")):
        for cls in ("ants", "bees"):
            for photo in sorted((hymenoptera / split / cls).glob("*.jpg"))[:4]:
                (tmp_path / "photos" / name / cls).mkdir(parents=True, exist_ok=True)
                (tmp_path / "photos" / name / cls / photo.name).write_bytes(photo.read_bytes())
    status, asked, _ = run_cli("check-data", "photos/")
    assert status == 1
    assert "one, two in 'photos' hold the same sub-folders (ants, bees): are they splits, or classes?" in asked
    status, answered, _ = run_cli("check-data", "photos/", "--layout", "classes")
    assert status == 0
    assert re.search(r"one +8\ntwo +8\n", answered)

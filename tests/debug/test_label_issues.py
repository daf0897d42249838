"""`label_issues`: flipped labels are found by out-of-fold predictions, written, edited and given back to `fit`."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from adaptation import SMALL
from PIL import Image
from sklearn.datasets import load_digits

import cnnrecipes as cr
from cnnrecipes.data.label_corrections import read_corrections
from cnnrecipes.debug.label_issues import write_label_issues
from cnnrecipes.errors import DataError

PIXELS, TRUTH = load_digits(return_X_y=True)
PIXELS = (PIXELS.reshape(-1, 8, 8, 1) * 255 / 16).astype(np.uint8)
IMAGES, LABELS = PIXELS[:200], TRUTH[:200].copy()
FLIPPED = np.arange(7, 200, 20)
LABELS[FLIPPED] = (LABELS[FLIPPED] + 3) % 10
NAMES = [f"digit {i}" for i in range(10)]
DATA = {"train": (IMAGES, LABELS), "class_names": NAMES}
OWN = {
    "extends": "features_photos",
    "name": "own",
    "data": {"image_size": 8, "channels": 1, "batch_size": 8, "standardize": "train"},
    "model": {"name": "resnet8"},
}


def by_features(run, **options):
    """The issues by the frozen features of a run on the digits, which has seen the right labels."""
    return cr.label_issues(OWN, DATA, progress=False, **{"train.start_from": str(run.folder)}, **options)


@pytest.fixture(scope="module")
def issues(digits_run, tmp_path_factory):
    """The table of issues, and the file written with it."""
    path = tmp_path_factory.mktemp("issues") / "label_issues.csv"
    return by_features(digits_run, path=path), path


def test_frozen_features_find_the_flipped_labels(issues):
    found, _ = issues
    assert found.columns.tolist() == ["file", "position", "given", "suggested", "score"]
    assert len(set(FLIPPED) & set(found["position"])) >= 8
    assert len(found) <= 2 * len(FLIPPED)
    assert found.attrs["images"] == 200
    first = found[found["position"] == 7].iloc[0]
    assert (first["file"], first["given"], first["suggested"]) == ("train[7]", "digit 0", "digit 7")
    assert found["score"].is_monotonic_increasing


def test_corrections_of_the_file_are_taken_back(digits_run, issues, tmp_path):
    found, path = issues
    assert not any(label for label, _ in read_corrections(path).values()), "nothing is corrected unasked"
    path = tmp_path / "accepted.csv"
    write_label_issues(found, path, accept=True)
    assert {name: row[0] for name, row in read_corrections(path).items()} == dict(
        zip(found["file"], found["suggested"], strict=True)
    )
    corrected = set(FLIPPED) & set(found["position"])
    again = by_features(digits_run, **{"data.corrections": str(path)}, path=tmp_path / "second.csv")
    assert not corrected & set(again["position"])
    kept = read_corrections(tmp_path / "second.csv")
    assert all(kept[f"train[{i}]"] == (NAMES[TRUTH[i]], NAMES[LABELS[i]]) for i in corrected)


def test_whole_trainings_find_flipped_digits():
    """Two trainings of a recipe without a pretrained backbone; a validation split of the data is judged too."""
    labels, chosen = TRUTH[:600].copy(), np.arange(10, 600, 20)
    labels[chosen] = (labels[chosen] + 1 + chosen // 20 % 9) % 10
    data = {"train": (PIXELS[:500], labels[:500]), "validation": (PIXELS[500:600], labels[500:])}
    changes = {"train.epochs": 8, "optimizer.warmup": "1 epoch", "data.batch_size": 25, "data.test": 0}
    found = cr.label_issues("resnet8_digits", data, folds=2, progress=False, **changes, **{"augment.ops": []})
    assert found.attrs["images"] == 600
    split = found["file"].str.split("[").str[0]
    places = found["position"] + np.where(split == "train", 0, 500)
    hits = np.isin(places, chosen)
    assert set(split) == {"train", "validation"}
    assert hits.sum() > 0.7 * len(chosen)  # recall
    assert hits.mean() > 0.5  # precision


def test_rows_of_earlier_corrections_are_kept(tmp_path):
    old = tmp_path / "old.csv"
    old.write_text("file,given,label\nx.png,a,b\ny.png,a,c\nz.png,a,\n")
    issues = pd.DataFrame({"file": ["x.png"], "position": [0], "given": ["b"], "suggested": ["a"], "score": [0.1]})
    write_label_issues(issues, tmp_path / "new.csv", corrections=old)
    assert read_corrections(tmp_path / "new.csv") == {"x.png": ("b", "a"), "y.png": ("c", "a")}


def test_command_writes_the_file(digits_run, run_cli, tmp_path):
    for i, label in enumerate(LABELS.tolist()):
        path = tmp_path / "photos" / str(label) / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGES[i, ..., 0]).save(path)
    recipe = tmp_path / "own.toml"
    recipe.write_text(
        'extends = "features_photos"\n[data]\nimage_size = 8\nchannels = 1\nstandardize = "train"\n'
        f'[model]\nname = "resnet8"\n[train]\nstart_from = "{digits_run.folder}"\n'
    )
    status, out, _ = run_cli("label-issues", str(recipe), "--data", "photos", "--accept", "--folds", "3")
    assert status == 0
    assert "of 200 probably wrong" in out
    assert "0/007.png: given 0, rather 7" in out
    assert "wrote label_issues.csv" in out
    assert read_corrections(tmp_path / "label_issues.csv")["0/007.png"] == ("7", "0")


def test_command_prints_json(issues, run_cli, monkeypatch, tmp_path):
    monkeypatch.setattr(cr, "label_issues", lambda *args, **options: issues[0])
    status, out, err = run_cli("label-issues", "resnet8_digits", "--json")
    document = json.loads(out)
    assert (status, err, document["file"]) == (0, "wrote label_issues.csv\n", "label_issues.csv")
    assert document["images"] == 200
    assert document["issues"][0].keys() == {"file", "position", "given", "suggested", "score"}


def test_too_few_images_are_named():
    changes = {**SMALL, "train.epochs": 1, "data.validation": 0}
    with pytest.raises(DataError, match="1 image"):
        cr.label_issues("resnet20_cifar", (IMAGES[:3], [0, 0, 1]), progress=False, **changes)
    with pytest.raises(DataError, match="1 folds"):
        cr.label_issues("resnet20_cifar", DATA, folds=1, progress=False, **changes)

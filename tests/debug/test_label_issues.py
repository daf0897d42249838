"""`label_issues`: flipped labels are found by out-of-fold predictions, written, edited and given back to `fit`."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from adaptation import SMALL, pretrain
from PIL import Image
from sklearn.datasets import load_digits

import cnnrecipes as cr
from cnnrecipes.data.label_corrections import read_corrections
from cnnrecipes.debug.label_issues import write_label_issues
from cnnrecipes.errors import DataError

RANDOM = np.random.default_rng(0)
TRUTH = np.arange(80) % 2
IMAGES = (RANDOM.integers(0, 120, (80, 16, 16, 3)) + 60 * TRUTH[:, None, None, None]).astype(np.uint8)
FLIPPED = np.array([3, 20, 41, 66])
LABELS = TRUTH.copy()
LABELS[FLIPPED] = 1 - LABELS[FLIPPED]
DATA = {"train": (IMAGES, LABELS), "class_names": ["dark", "light"]}
OWN = {
    "extends": "features_photos",
    "name": "own",
    "data": {"image_size": 16, "batch_size": 8, "standardize": "train"},
    "model": {"name": "resnet8"},
}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return pretrain(tmp_path_factory.mktemp("pretrained"))


def by_features(backbone, **options):
    return cr.label_issues(OWN, DATA, progress=False, **{"train.start_from": str(backbone.folder)}, **options)


@pytest.fixture(scope="module")
def issues(backbone, tmp_path_factory):
    """The table of issues, and the file written with it."""
    path = tmp_path_factory.mktemp("issues") / "label_issues.csv"
    return by_features(backbone, path=path), path


def test_frozen_features_find_the_flipped_labels(issues):
    found, _ = issues
    assert found.columns.tolist() == ["file", "position", "given", "suggested", "score"]
    assert set(FLIPPED) <= set(found["position"])
    assert len(found) <= 8
    assert found.attrs["images"] == 80
    first = found[found["position"] == 3].iloc[0]
    assert (first["file"], first["given"], first["suggested"]) == ("train[3]", "dark", "light")
    assert found["score"].is_monotonic_increasing


def test_corrections_of_the_file_are_taken_back(backbone, issues, tmp_path):
    found, path = issues
    assert not any(label for label, _ in read_corrections(path).values()), "nothing is corrected unasked"
    path = tmp_path / "accepted.csv"
    write_label_issues(found, path, accept=True)
    assert {name: row[0] for name, row in read_corrections(path).items()} == dict(
        zip(found["file"], found["suggested"], strict=True)
    )
    again = by_features(backbone, **{"data.corrections": str(path)}, path=tmp_path / "second.csv")
    assert not set(FLIPPED) & set(again["position"])
    kept = read_corrections(tmp_path / "second.csv")
    assert all(kept[f"train[{i}]"] == (DATA["class_names"][TRUTH[i]], DATA["class_names"][LABELS[i]]) for i in FLIPPED)


def test_whole_trainings_find_flipped_digits():
    """Two trainings of a recipe without a pretrained backbone; a validation split of the data is judged too."""
    images, truth = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8, 1)[:600] * 255 / 16).astype(np.uint8)
    labels, chosen = truth[:600].copy(), np.arange(10, 600, 20)
    labels[chosen] = (labels[chosen] + 1 + chosen // 20 % 9) % 10
    data = {"train": (images[:500], labels[:500]), "validation": (images[500:], labels[500:])}
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


def test_command_writes_the_file(backbone, run_cli, tmp_path):
    for label, folder in (("dark", "a"), ("light", "b")):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for i in np.flatnonzero(np.array(DATA["class_names"])[LABELS] == label):
            Image.fromarray(IMAGES[i]).save(tmp_path / "photos" / folder / f"{i:02}.png")
    recipe = tmp_path / "own.toml"
    recipe.write_text(
        'extends = "features_photos"\n[data]\nimage_size = 16\nstandardize = "train"\n[model]\nname = "resnet8"\n'
        f'[train]\nstart_from = "{backbone.folder}"\n'
    )
    status, out, _ = run_cli("label-issues", str(recipe), "--data", "photos", "--accept", "--folds", "3")
    assert status == 0
    assert "of 80 probably wrong" in out
    assert "b/66.png: given b, rather a" in out
    assert "wrote label_issues.csv" in out
    assert read_corrections(tmp_path / "label_issues.csv")["b/66.png"] == ("a", "b")


def test_command_prints_json(issues, run_cli, monkeypatch, backbone):
    monkeypatch.setattr(cr, "label_issues", lambda *args, **options: issues[0])
    status, out, err = run_cli("label-issues", str(backbone.folder), "--json")
    document = json.loads(out)
    path = backbone.folder / "label_issues.csv"
    assert (status, err, document["file"]) == (0, f"wrote {path}\n", str(path))
    assert document["images"] == 80
    assert document["issues"][0].keys() == {"file", "position", "given", "suggested", "score"}


def test_too_few_images_are_named():
    changes = {**SMALL, "train.epochs": 1, "data.validation": 0}
    with pytest.raises(DataError, match="1 image"):
        cr.label_issues("resnet20_cifar", (IMAGES[:3], [0, 0, 1]), progress=False, **changes)
    with pytest.raises(DataError, match="1 folds"):
        cr.label_issues("resnet20_cifar", DATA, folds=1, progress=False, **changes)

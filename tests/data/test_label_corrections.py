"""`data.corrections`: applied before the splits, recorded, and refused where they do not fit the data."""

from __future__ import annotations

import numpy as np
import pytest
from adaptation import DATA, write_photos

from cnnrecipes.data.image_names import image_names
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.errors import DataError
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Data
from cnnrecipes.training.start_or_resume import complete_recipe


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), train=24, validation=6)


def write(path, *rows, columns="file,given,label"):
    path.write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    return str(path)


def labels(source) -> dict[str, str]:
    return {
        name: source.class_names[label]
        for split in source.splits.values()
        for name, label in zip(image_names(split, source), split.labels.tolist(), strict=True)
    }


def test_labels_are_corrected_and_the_others_stay(photos, tmp_path):
    said = []
    path = write(tmp_path / "c.csv", "train/a/0000.png,a,b", "validation/b/0001.png,b,c", "train/c/0002.png,c,")
    before = labels(open_source(photos, Data(name="-")))
    after = labels(open_source(photos, Data(name="-", corrections=path), said.append))
    changed = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    assert changed == {"train/a/0000.png": ("a", "b"), "validation/b/0001.png": ("b", "c")}
    assert said == [f"{path}: 2 labels corrected"]


def test_arrays_are_corrected_before_the_split(tmp_path):
    path = write(tmp_path / "c.csv", "train[0],1", "train[1],0", columns="file,label")
    spec = Data(name="-", validation=0.2, corrections=path)
    source = open_source(DATA, spec)
    found = {int(p): int(n) for s in source.splits.values() for p, n in zip(s.positions, s.labels, strict=True)}
    assert [found[0], found[1], found[2]] == [1, 0, 0]
    sizes = np.bincount(source.split("validation").labels)
    assert sizes.tolist() == [6, 6]  # stratified by the corrected labels
    assert DATA[1][0] == 0, "the given labels are not changed"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["train/a/9999.png,a,b"], r"no image 'train/a/9999.png' \(did you mean"),
        (["train/a/0000.png,a,d"], "no class 'd'"),
        (["train/a/0000.png,b,c"], "has the label 'a' in the data, and is given as 'b'"),
        (["train/a/0000.png,a,b", "train/a/0000.png,a,c"], "two labels, 'b' and 'c'"),
        ([f"train/a/{i:04}.png,a,b" for i in range(0, 24, 3)], "no training image of class 'a'"),
    ],
)
def test_corrections_that_do_not_fit_are_named(rows, message, photos, tmp_path):
    path = write(tmp_path / "c.csv", *rows)
    with pytest.raises(DataError, match=message):
        open_source(photos, Data(name="-", corrections=path))


def test_files_that_are_no_corrections_are_named(photos, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        open_source(photos, Data(name="-", corrections=str(tmp_path / "none.csv")))
    with pytest.raises(DataError, match="no column label"):
        open_source(photos, Data(name="-", corrections=write(tmp_path / "c.csv", "x,a", columns="file,given")))
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(DataError, match="as CSV"):
        open_source(photos, Data(name="-", corrections=str(tmp_path / "empty.csv")))


def test_recipe_records_the_absolute_path(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "c.csv", "validation/b/0001.png,b,c")
    recipe = complete_recipe(catalog.load("resnet20_cifar"), photos, None, {"data.corrections": "c.csv"})
    assert recipe.data.corrections == str(tmp_path / "c.csv")
    with InputPipeline.open(recipe) as pipeline:
        assert labels(pipeline.source)["validation/b/0001.png"] == "c"

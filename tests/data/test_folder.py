"""Folders as people have them."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from cnnrecipes.data import folder, pipeline
from cnnrecipes.data.folder import image_files, read
from cnnrecipes.data.sources import open_source
from cnnrecipes.errors import DataError
from cnnrecipes.recipe import Data

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)


def made(root, *names):
    """A folder of photos (and empty other files) of these names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(folder.EXTENSIONS):
            Image.fromarray(PIXELS).save(root / name)
        else:
            (root / name).write_text("")
    return root


def test_labels_follow_the_sorted_class_names(tmp_path):
    names, pools = read(made(tmp_path, "zebra/1.png", "ant/2.png", "ant/10.jpg", "Bee/x.bmp"))
    assert names == ("Bee", "ant", "zebra")
    paths = [os.path.relpath(path, tmp_path) for path in pools["train"].images.items]
    assert paths == ["Bee/x.bmp", "ant/10.jpg", "ant/2.png", "zebra/1.png"]
    assert pools["train"].labels.tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_the_names_of_a_validation_folder(tmp_path, name):
    root = made(tmp_path, "train/a/1.png", "train/b/1.png", f"{name}/b/1.png", "test/a/1.png", "test/b/1.png")
    names, pools = read(root)
    assert names == ("a", "b")
    assert {split: pool.labels.tolist() for split, pool in pools.items()} == {
        "train": [0, 1],
        "validation": [1],
        "test": [0, 1],
    }


def test_folders_and_other_files_are_no_images(tmp_path):
    root = made(tmp_path, "a/1.png", "a/notes.txt", "a/.2.png", "a/.cache/3.png", "a/deep/4.png", "b/1.png")
    (root / "a" / "folder.png").mkdir()
    assert [os.path.relpath(path, root) for path in image_files(root / "a")] == ["a/1.png", "a/deep/4.png"]


@pytest.mark.parametrize(
    "names",
    [
        ("train/a/1.png", "train/b/1.png", "val/a/1.png", "validation/b/1.png"),
        ("train/a/1.png", "train/b/1.png", "val/1.png", "val/2.png"),
        ("val/a/1.png", "val/b/1.png", "test/a/1.png", "test/b/1.png"),
    ],
    ids=["two validation folders", "a validation folder without classes", "no train folder"],
)
def test_nothing_of_a_layout_is_dropped_or_misread_in_silence(tmp_path, names):
    with pytest.raises(DataError, match="val"):
        read(made(tmp_path, *names))


def test_split_folders_are_known_in_any_case_of_letters(tmp_path):
    """ImageFolder archives often have Train/ and Test/; as classes they would train without a word."""
    root = made(tmp_path, "Train/a/1.png", "Train/b/1.png", "Test/a/1.png", "Test/b/1.png")
    try:
        names, _ = read(root)
    except DataError:
        return
    assert names == ("a", "b")


def test_what_lies_beside_train_and_val_is_named(tmp_path):
    root = made(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png", "__MACOSX/x.txt")
    with pytest.raises(DataError, match="__MACOSX"):
        read(root)


@pytest.mark.parametrize("split", ["validation", "train"])
def test_a_file_that_vanishes_while_it_is_trained_on_is_named(tmp_path, split):
    names = [f"{part}/{cls}/{i}.png" for part in ("train", "val") for cls in "ab" for i in range(4)]
    root = made(tmp_path, *names)
    spec = Data(name="x", image_size=8)
    source = open_source(root, spec)
    (root / ("val" if split == "validation" else "train") / "b" / "3.png").unlink()
    with pytest.raises(DataError, match=rf"b/3\.png.*{split}.*No such file"), pipeline.naming_unreadable(source, spec):
        list(pipeline.evaluation_batches(source.split(split), spec, 2))

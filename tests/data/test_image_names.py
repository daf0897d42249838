"""Names of images: relative paths, unique in a data set, and positions of arrays."""

from __future__ import annotations

import numpy as np
import pytest
from adaptation import DATA, write_photos

from cnnrecipes.data.image_names import image_names
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.recipe.schema import Data


def test_files_are_named_by_their_path_in_the_data_folder(tmp_path):
    source = open_source(write_photos(tmp_path / "photos"), Data(name="-"))
    train, validation = (image_names(source.split(name), source) for name in ("train", "validation"))
    assert train[0] == "train/a/0000.png"
    assert len({*train, *validation}) == 28
    alone = open_source(tmp_path / "photos" / "train", Data(name="-", validation=0.2))
    names = [name for split in alone.splits.values() for name in image_names(split, alone)]
    assert len(set(names)) == 20
    assert "a/0000.png" in names


def test_arrays_are_named_by_their_position_in_the_split_of_the_data():
    source = open_source(DATA, Data(name="-", validation=0.2))
    split = source.split("validation")
    assert image_names(split, source)[0] == f"train[{split.positions[0]}]"
    assert image_names(split)[0] == f"validation[{split.positions[0]}]"
    images, labels = DATA
    own = open_source({"train": DATA, "test": (images[:5], labels[:5])}, Data(name="-", validation=0))
    assert image_names(own.split("test"), own)[4] == "test[4]"


def test_paths_that_are_not_utf8_are_printable(tmp_path):
    source = open_source(write_photos(tmp_path / "photos", train=6, validation=3), Data(name="-"))
    split = source.split("train")
    object.__setattr__(split.images, "items", [item.replace(".png", "\udce9.png") for item in split.images.items])
    names = image_names(split, source)
    assert names[0].endswith(r"0000\xe9.png")
    assert "".join(names).isprintable()


@pytest.mark.parametrize("n", [1, 2])
def test_few_images(n):
    images = np.zeros((2 * n, 8, 8, 3), np.uint8)
    source = open_source((images, np.arange(2 * n) % 2), Data(name="-", validation=0))
    assert image_names(source.split("train"), source) == tuple(f"train[{i}]" for i in range(2 * n))

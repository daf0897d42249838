"""`open_source`: arrays, folders, built-in and TFDS data sets, class names, splits and errors."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cnnrecipes.data.channel_statistics import split_statistics
from cnnrecipes.data.image_shape import image_shape
from cnnrecipes.data.sources.opening import open_source, recorded_name
from cnnrecipes.data.split_strategies import stratified
from cnnrecipes.errors import DataError, UnknownNameError
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Data

SPEC = Data(name="arrays", image_size=8, validation=0.2)
IMAGES = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(30) % 3


def photo(path, size=(9, 7)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)


def test_arrays_are_not_copied():
    source = open_source((IMAGES, LABELS), SPEC)
    for split in source.splits.values():
        assert np.shares_memory(split.images.array, IMAGES)
    assert source.class_names == ("0", "1", "2")
    image, label = source.split("train").read(4)
    position = source.split("train").positions[4]
    np.testing.assert_array_equal(image, IMAGES[position])
    assert label == LABELS[position]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array(["cat", "ant", "bee"])[LABELS], ("ant", "bee", "cat")),
        (LABELS[:, None], ("0", "1", "2")),
        (LABELS.astype(float), ("0", "1", "2")),
        ((LABELS + 5).tolist(), ("5", "6", "7")),
    ],
)
def test_class_names_are_derived_from_the_labels(labels, names):
    assert open_source((IMAGES, labels), SPEC).class_names == names


def test_dict_gives_splits_and_class_names():
    data = {"train": (IMAGES, LABELS), "test": (IMAGES[:5], LABELS[:5]), "class_names": ["x", "y", "z"]}
    source = open_source(data, SPEC)
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 24, "validation": 6, "test": 5}
    assert source.class_names == ("x", "y", "z")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((IMAGES, LABELS[:-1]), "30 images and 29 labels"),
        ((IMAGES, np.eye(3)[LABELS] / 2), r"\(30, 3\) and are not one-hot"),
        ((IMAGES, np.where(LABELS == 1, np.nan, 0.0)), "float64.*integers"),
        ((IMAGES, np.zeros(30, int)), "'0'.*at least two"),
        ((IMAGES[..., :2], LABELS), r"\(30, 8, 8, 2\).*1 or 3 channels"),
        ((IMAGES[0, 0], LABELS), r"\(8, 3\)"),
        ((IMAGES[None], LABELS), r"\(1, 30, 8, 8, 3\)"),
        ((IMAGES / 200, LABELS), "0..1.275.*neither 0..1 nor 0..255"),
        ((IMAGES - 0.5, LABELS), "-0.5.*0..255"),
        ((IMAGES.astype(int) * 2, LABELS), "510.*0..255|0..5"),
        ((IMAGES.astype(str), LABELS), "type <U"),
        (IMAGES, r"ndarray.*data=\(images, labels\)"),
        ({"train": (IMAGES, LABELS), "class_names": ["a", "b"]}, "2.*does not fit 2 class names"),
        ({"train": (IMAGES, LABELS), "class_names": ["a", "b", "a"]}, "repeat"),
        ({"train": (IMAGES, LABELS), "class_names": list("abcd")}, "no training image of class 'd'"),
        ({"train": (IMAGES, LABELS), "test": (IMAGES[:, :4], LABELS)}, "differ in shape"),
        ({"trian": (IMAGES, LABELS)}, "trian.*train"),
        ({"test": (IMAGES, LABELS)}, "no 'train'"),
    ],
)
def test_invalid_arrays_raise_with_a_remedy(data, words):
    with pytest.raises((DataError, UnknownNameError), match=words):
        open_source(data, SPEC)


def test_channels_that_differ_from_the_recipe_raise():
    recipe = catalog.load("resnet20_cifar")
    split = open_source((IMAGES[..., :1], LABELS), recipe.data).split("train")
    with pytest.raises(DataError, match=r"1 channel.*data.channels = 3.*set data.channels=1"):
        image_shape(split, recipe.data)


def test_folder_with_one_subfolder_per_class(flowers):
    source = open_source(flowers, SPEC)
    assert source.class_names == ("daisy", "dandelion", "rose", "sunflower", "tulip")
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 480, "validation": 120}
    content, label = source.split("validation").read(0)
    assert content[:2] == b"\xff\xd8"
    assert source.class_names[label] == "daisy"


def test_folder_with_train_and_val_splits(hymenoptera):
    source = open_source(str(hymenoptera), SPEC)
    assert source.class_names == ("ants", "bees")
    assert set(source.splits) == {"train", "validation"}
    assert len(source.split("validation")) == 153


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (None, "does not exist.*one sub-folder"),
        (["a.png"], "no sub-folders"),
        (["cat/a.png", "cat/b.png"], "'cat'.*at least two"),
        (["cat/a.png", "dog/notes.txt"], r"'cat'.*at least two.*1 folder without images, no class: dog"),
        (["train/cat/a.png", "train/dog/a.png", "val/bird/a.png"], "bird.*train does not have.*cat, dog"),
    ],
)
def test_invalid_folder_raises_with_a_remedy(tmp_path, files, words):
    root = tmp_path / "data set"
    for name in files or ():
        if name.endswith(".txt"):
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text("x")
        else:
            photo(root / name)
    with pytest.raises(DataError, match=words):
        open_source(root, SPEC)


def test_recorded_name_is_absolute_and_keeps_urls(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for data in ("~/photos", "~/photos.zip", "~/labels.csv"):
        assert recorded_name(data) == str(tmp_path / data[2:])
    for url in ("https://example.org/a.zip#sha256=00", "gs://bucket/photos"):
        assert recorded_name(url) == url


def test_file_given_as_folder_raises(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(DataError, match="is not a folder"):
        open_source(str(tmp_path / "x"), SPEC)


def test_hidden_and_non_image_files_are_ignored(tmp_path):
    for name in ("cat/a b.png", "cat/ünï.png", "dog/x.PNG", "dog/deep/y.png", ".hidden/z.png", "dog/._x.png"):
        photo(tmp_path / name)
    (tmp_path / "cat" / "Thumbs.db").write_text("")
    source = open_source(tmp_path, Data(name="x", validation=0.0))
    assert source.class_names == ("cat", "dog")
    assert len(source.split("train")) == 4


def test_image_files_require_an_image_size(tmp_path):
    photo(tmp_path / "cat/a.png")
    photo(tmp_path / "dog/a.png")
    spec = Data(name="x", validation=0.0)
    with pytest.raises(DataError, match="data.image_size=64"):
        image_shape(open_source(tmp_path, spec).split("train"), spec)


def test_unreadable_file_is_named(tmp_path):
    for i in range(4):
        photo(tmp_path / f"cat/{i}.png")
        photo(tmp_path / f"dog/{i}.png")
    (tmp_path / "dog/broken.png").write_bytes((tmp_path / "dog/0.png").read_bytes()[:80])
    spec = Data(name="x", image_size=8, validation=0.0)
    with pytest.raises(DataError, match=r"broken\.png.*train.*repair or remove"):
        split_statistics(open_source(tmp_path, spec).split("train"), spec)


@pytest.mark.parametrize("seed", [0, 1])
def test_stratified_split_keeps_class_proportions(seed):
    labels = np.repeat([0, 1, 2, 3, 4], [100, 50, 3, 2, 1])
    parts = stratified(labels, {"test": 0.2, "validation": 0.1}, seed)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(156))
    counts = {name: np.bincount(labels[part], minlength=5).tolist() for name, part in parts.items()}
    assert counts["test"] == [20, 10, 1, 1, 0]
    assert counts["validation"] == [10, 5, 1, 0, 0]
    again, other = (stratified(labels, {"test": 0.2, "validation": 0.1}, s) for s in (seed, seed + 1))
    assert all(np.array_equal(parts[name], again[name]) for name in parts)
    assert not np.array_equal(parts["test"], other["test"])


def test_digits_need_no_network():
    source = open_source(None, catalog.load("resnet8_digits").data)
    assert source.class_names == tuple("0123456789")
    assert sum(len(split) for split in source.splits.values()) == 1797
    assert source.split("train").images.array.max() == 255


def test_tfds_cifar10_has_the_published_size_and_statistics(shared):
    spec = Data(name="cifar10", validation=0.0)
    source = open_source(None, spec)
    assert (len(source.split("train")), len(source.split("test"))) == (50_000, 10_000)
    assert source.class_names[:3] == ("airplane", "automobile", "bird")
    assert np.bincount(source.split("train").labels).tolist() == [5000] * 10
    found = split_statistics(source.split("train"), spec)
    np.testing.assert_allclose(found.mean, (125.307, 122.950, 113.865), atol=1e-3)
    np.testing.assert_allclose(found.std, (62.993, 62.089, 66.705), atol=1e-3)


def test_unknown_data_set_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match=r"cifar11.*cifar10.*\./folder"):
        open_source("cifar11", SPEC)

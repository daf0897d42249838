"""Folders of images as data: layouts of splits and classes, ignored files, symbolic links, errors."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from cnnrecipes.data import batching
from cnnrecipes.data.decoding_errors import naming_unreadable
from cnnrecipes.data.images.decode import EXTENSIONS
from cnnrecipes.data.sources.folder import image_files, read
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.errors import DataError
from cnnrecipes.recipe.schema import Data

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)


def make_files(root, *names):
    """Create files of the given names: photos, and empty files for other extensions."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            (root / name).mkdir()
        elif name.endswith(EXTENSIONS) and not os.path.basename(name).startswith("."):
            Image.fromarray(PIXELS).save(root / name)
        else:
            (root / name).write_text("")
    return root


def test_labels_follow_the_sorted_class_names(tmp_path):
    contents = read(make_files(tmp_path, "zebra/1.png", "ant/2.png", "ant/10.jpg", "Bee/x.bmp"))
    assert contents.class_names == ("Bee", "ant", "zebra")
    paths = [os.path.relpath(path, tmp_path) for path in contents.pools["train"].images.items]
    assert paths == ["Bee/x.bmp", "ant/10.jpg", "ant/2.png", "zebra/1.png"]
    assert contents.pools["train"].labels.tolist() == [0, 1, 1, 2]


def test_image_files_excludes_hidden_files_folders_and_other_files(tmp_path):
    root = make_files(tmp_path, "a/1.png", "a/notes.txt", "a/.2.png", "a/.cache/3.png", "a/deep/4.png", "b/1.png")
    (root / "a" / "folder.png").mkdir()
    assert [os.path.relpath(path, root) for path in image_files(root / "a")] == ["a/1.png", "a/deep/4.png"]


def splits(source):
    """Split -> class name -> number of images."""
    return {
        name: {source.class_names[label]: n for label, n in enumerate(np.bincount(split.labels).tolist()) if n}
        for name, split in source.splits.items()
    }


def kinds(source):
    return {finding.kind for finding in source.layout.left_out}


SPEC = Data(name="x", image_size=8, validation=0.0)
CATS_DOGS = {"cats": 1, "dogs": 1}


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("Train", "Valid", "Test"),
        ("training", "validation", "testing"),
        ("training_set", "val_set", "test_set"),
        ("train_images", "dev", "test_images"),
        ("TRAIN", "VAL", "TEST"),
        ("train2017", "val2017", "test2017"),
        ("seg_train", "seg_val", "seg_test"),
    ],
)
@pytest.mark.parametrize("wrapper", ["", "dataset/", "archive/cats_dogs/"])
def test_common_split_names_are_recognized(tmp_path, train, validation, test, wrapper):
    names = [f"{wrapper}{split}/{cls}/1.png" for split in (train, validation, test) for cls in ("cats", "dogs")]
    source = open_source(make_files(tmp_path, *names), SPEC)
    assert splits(source) == {"train": CATS_DOGS, "validation": CATS_DOGS, "test": CATS_DOGS}
    assert source.layout.root == str(tmp_path / wrapper).rstrip("/")
    assert source.layout.folders == {"train": train, "validation": validation, "test": test}
    assert not source.layout.left_out


@pytest.mark.parametrize(
    "names",
    [
        ("training_set/training_set/{}/1.png", "test_set/test_set/{}/1.png"),  # Kaggle's cat-and-dog
        ("seg_train/seg_train/{}/1.png", "seg_test/seg_test/{}/1.png", "seg_pred/seg_pred/1.png"),  # Intel's scenes
        ("train/images/{}/1.png", "test/images/{}/1.png"),
    ],
)
def test_nested_split_folders_are_resolved(tmp_path, names):
    root = make_files(tmp_path, *{name.format(cls) for name in names for cls in ("cats", "dogs")})
    source = open_source(root, SPEC)
    assert splits(source) == {"train": CATS_DOGS, "test": CATS_DOGS}
    assert kinds(source) == ({"not a split"} if any("seg_pred" in name for name in names) else set())


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (("bus/1.png", "car/1.png", "train/1.png"), ("bus", "car", "train")),
        (("control/1.png", "test/1.png"), ("control", "test")),
        (("data/bus/1.png", "data/train/1.png"), ("bus", "train")),
        (
            ("bullet train/1.png", "test tube/1.png", "crash_test_dummy/1.png"),
            ("bullet train", "crash_test_dummy", "test tube"),
        ),
    ],
)
def test_folders_named_like_splits_are_classes_if_all_folders_hold_images(tmp_path, names, classes):
    source = open_source(make_files(tmp_path, *names), SPEC)
    assert source.class_names == classes
    assert set(source.splits) == {"train"}
    assert ("class called as a split" in kinds(source)) == bool({"train", "test"} & set(classes))


@pytest.mark.parametrize(
    "names",
    [
        ("one/cats/1.png", "one/dogs/1.png", "two/cats/1.png", "two/dogs/1.png"),
        ("fold1/a/1.png", "fold1/b/1.png", "fold2/a/1.png", "fold2/b/1.png", "c/1.png"),
        ("train/cats/1.png", "train/dogs/1.png", "extra/cats/1.png", "extra/dogs/1.png"),
        ("train/new/1.png", "train/old/1.png", "bus/new/1.png", "bus/old/1.png"),
        ("cats_train/1.png", "cats_test/1.png", "dogs_train/1.png", "dogs_test/1.png"),
        ("cats/1.png", "dogs/1.png", "test/cats/1.png", "test/dogs/1.png"),
    ],
)
def test_ambiguous_layout_raises_and_is_resolved_by_data_layout(tmp_path, names):
    with pytest.raises(DataError, match="are (these|they) splits, or classes|are these splits or classes") as caught:
        open_source(make_files(tmp_path, *names), SPEC)
    assert "train, val and test" in str(caught.value)
    assert "data.layout=classes" in str(caught.value)
    source = open_source(tmp_path, SPEC.model_copy(update={"layout": "classes"}))
    assert set(source.class_names) == {name.partition("/")[0] for name in names}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("train/a/1.png", "train/b/1.png", "val/a/1.png", "validation/b/1.png"), "val, validation for validation"),
        (
            ("train/a/1.png", "train/b/1.png", "val/1.png", "val/2.png"),
            "val' has no images in folders of the classes a, b",
        ),
        (("train/a/1.png", "train/b/1.png", "val/"), "val' has no images in folders of the classes a, b"),
        (
            ("val/a/1.png", "val/b/1.png", "test/a/1.png", "test/b/1.png"),
            "test, val, and no folder that is called train",
        ),
        (("train/cat.0.png", "train/dog.0.png", "test1/1.png"), "test1, train in .* hold images, and no sub-folder"),
        (("train/cat.0.png", "train/dog.0.png"), "train in .* hold images, and no sub-folder for each class"),
        (
            ("cats/train/1.png", "cats/test/1.png", "dogs/train/1.png", "dogs/test/1.png"),
            "splits stand inside of the classes",
        ),
        (("train/cats/1.png", "train/dogs/1.png", "val/cat/1.png"), "val/cat' is a class .*did you mean cats"),
        (("train/Cat/1.png", "train/Dog/1.png", "val/cat/1.png"), "did you mean Cat"),
        (
            ("train/a/1.png", "train/b/1.png", "train/c/", "val/c/1.png"),
            "val/c' is a class that train has no images of",
        ),
        (("cats/1.png", "dogs/1.cr2", "dogs/2.cr2"), "dogs' has no usable images; convert them"),
    ],
)
def test_inconsistent_layout_raises_with_a_remedy(tmp_path, names, words):
    with pytest.raises(DataError, match=words):
        open_source(make_files(tmp_path, *names), SPEC)


def test_all_layout_problems_are_reported_together(tmp_path):
    root = make_files(tmp_path, "train/a/1.png", "train/b/1.png", "val/c/1.png", "test/d/1.png", "test/a/1.png")
    with pytest.raises(DataError, match=r"2 problems: \(1\) .*val/c.*; \(2\) .*test/d"):
        open_source(root, SPEC)


@pytest.mark.parametrize("test", ["test1/1.png", "test/unknown/1.png", "test/images/1.png", "test/test/1.png", "test/"])
def test_unlabeled_test_folder_is_ignored_with_a_warning(tmp_path, test):
    source = open_source(make_files(tmp_path, "train/cats/1.png", "train/dogs/1.png", test), SPEC)
    assert splits(source) == {"train": CATS_DOGS}
    (finding,) = source.layout.left_out
    assert (finding.severity, finding.kind) == ("warning", "unlabeled")
    assert "left out" in finding.message


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("Train/cats/1.png", "Train/dogs/1.png", "Test/1.png", "Meta/1.png"), {"not a split", "unlabeled"}),  # GTSRB
        (("asl_train/asl_train/cats/1.png", "asl_train/asl_train/dogs/1.png", "asl_test/1.png"), {"unlabeled"}),
        (("d/cats/1.png", "d/dogs/1.png", "README.md"), {"other files"}),
    ],
)
def test_layouts_of_published_data_sets_are_read(tmp_path, names, found):
    source = open_source(make_files(tmp_path, *names), SPEC)
    assert splits(source) == {"train": CATS_DOGS}
    assert kinds(source) == found


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("images/1.png", "masks/1.png"), "images, masks, like a data set for segmentation"),
        (("p/p/a/1.png", "p/p/b/1.png", "p/a/1.png", "p/b/1.png"), "p/p' holds the folders that are beside it .a, b."),
    ],
)
def test_segmentation_and_nested_duplicate_layouts_are_refused(tmp_path, names, words):
    with pytest.raises(DataError, match=words):
        open_source(make_files(tmp_path, *names), SPEC)


def test_class_named_unknown_is_a_class_in_every_split(tmp_path):
    source = open_source(make_files(tmp_path, "train/a/1.png", "train/unknown/1.png", "test/unknown/1.png"), SPEC)
    assert splits(source)["test"] == {"unknown": 1}


def test_system_files_and_empty_folders_are_ignored_with_a_finding(tmp_path):
    junk = ("__MACOSX/train/._1.png", ".DS_Store", "train/.DS_Store", "train/cats/Thumbs.db", "train/dogs/desktop.ini")
    names = (
        "train/cats/1.png",
        "train/dogs/1.png",
        "train/empty/",
        "train/notes/a.txt",
        "annotations/1.xml",
        "README.md",
    )
    source = open_source(make_files(tmp_path, *names, *junk), SPEC)
    assert splits(source) == {"train": CATS_DOGS}
    found = {finding.kind: finding for finding in source.layout.left_out}
    assert found.keys() == {"empty class", "other files", "system files"}
    assert "empty, notes" in found["empty class"].message
    assert {os.path.basename(file) for file in found["system files"].files} >= {"__MACOSX", ".DS_Store", "Thumbs.db"}
    assert [os.path.basename(file) for file in found["other files"].files] == ["README.md"]


def test_unsupported_image_formats_are_counted_and_reported(tmp_path):
    names = [f"cats/{i}.png" for i in range(5)] + ["dogs/1.png", "dogs/1.cr2", "cats/2.NEF", "cats/3.nef"]
    (finding,) = open_source(make_files(tmp_path, *names), SPEC).layout.left_out
    assert finding.message.startswith("3 images of an unsupported format: 2 .nef, 1 .cr2; left out; convert")
    assert finding.severity == "warning"
    assert len(finding.files) == 3


@pytest.mark.skipif(os.name == "nt", reason="links want rights there")
def test_symlinks_out_of_the_data_set_are_not_followed(tmp_path):
    root = make_files(tmp_path / "data", "a/1.png", "b/1.png", "c/1.png")
    make_files(tmp_path, "elsewhere/1.png", "photo.png", "secret.txt")
    (root / "d").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "2.png").symlink_to(tmp_path / "photo.png")
    (root / "a" / "3.png").symlink_to(tmp_path / "secret.txt")
    (root / "a" / "4.png").symlink_to(root / "b" / "1.png")
    (root / "e").symlink_to(root / "c")
    (root / "all").symlink_to(root)
    source = open_source(root, SPEC)
    assert source.class_names == ("a", "b", "c", "e")
    assert splits(source)["train"] == {"a": 3, "b": 1, "c": 1, "e": 1}
    (finding,) = source.layout.left_out
    assert {os.path.relpath(file, root) for file in finding.files} == {"d", "a/3.png", "all"}
    assert finding.severity == "warning"


def test_message_about_many_classes_names_a_few(tmp_path):
    names = [f"train/c{i:04}/1.png" for i in range(300)]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    make_files(tmp_path, "val/other/1.png")
    with pytest.raises(DataError, match=r"c0007, \.\.\. \(292 more\)") as caught:
        open_source(tmp_path, SPEC)
    assert len(str(caught.value)) < 500


def test_mistyped_path_suggests_the_nearest(tmp_path):
    make_files(tmp_path, "photos/train/a/1.png")
    with pytest.raises(DataError, match=rf"did you mean '{tmp_path}/photos/train'"):
        open_source(tmp_path / "fotos" / "train", SPEC)
    with pytest.raises(DataError, match=rf"does not exist \(did you mean '{tmp_path}/photos'\?\)"):
        open_source(str(tmp_path / "Photo"), SPEC)


@pytest.mark.parametrize("split", ["validation", "train"])
def test_file_deleted_during_training_is_named(tmp_path, split):
    names = [f"{part}/{cls}/{i}.png" for part in ("train", "val") for cls in "ab" for i in range(4)]
    root = make_files(tmp_path, *names)
    spec = Data(name="x", image_size=8)
    source = open_source(root, spec)
    (root / ("val" if split == "validation" else "train") / "b" / "3.png").unlink()
    with (
        pytest.raises(DataError, match=rf"b/3\.png.*{split}.*No such file"),
        naming_unreadable(source, spec),
    ):
        list(batching.evaluation_batches(source.split(split), spec, 2))

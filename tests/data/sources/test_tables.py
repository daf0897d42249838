"""Tables (CSV, TSV, Parquet, DataFrames), remote folders and tf.data data sets as data."""

from __future__ import annotations

import json
import os

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

import cnnrecipes as cr
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.errors import DataError
from cnnrecipes.recipe.schema import Data

SPEC = Data(name="arrays", image_size=8, validation=0.25)


@pytest.fixture
def rows(tmp_path):
    """24 images of three classes with unusual file names, and a frame of their paths, labels, patients and splits."""
    table = []
    for i in range(24):
        path = tmp_path / "bilder" / f"no {i} ü\n.png" if i == 5 else tmp_path / "bilder" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((9, 9, 3), i * 10, np.uint8)).save(path)
        table.append((os.path.relpath(path, tmp_path), "abc"[i % 3], f"p{i // 3}", "train" if i < 18 else "val"))
    return pd.DataFrame(table, columns=["file", "Label", "patient", "split"])


def save_table(rows, path):
    if path.suffix == ".parquet":
        rows.to_parquet(path)
    else:
        rows.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_table_has_paths_labels_and_splits(rows, tmp_path, kind):
    path = save_table(rows, tmp_path / f"my table.{kind}")
    source = open_source(path if kind == "csv" else str(path), SPEC)
    assert source.class_names == ("a", "b", "c")
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 18, "validation": 6}
    for split, first in (("train", 0), ("validation", 18)):
        for i in range(len(source.split(split))):
            content, label = source.split(split).read(i)
            assert tf.io.decode_png(content)[0, 0, 0] == (first + i) * 10
            assert label == (first + i) % 3


def test_data_frame_paths_are_relative_to_the_working_folder(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, _ = open_source(rows.drop(columns="patient"), SPEC).split("train").read(5)
    assert content == (tmp_path / rows.file[5]).read_bytes()


def test_groups_are_not_divided_between_splits(rows, tmp_path):
    source = open_source(save_table(rows.drop(columns="split"), tmp_path / "t.csv"), SPEC)
    patients = {name: set(rows.patient[split.positions]) for name, split in source.splits.items()}
    assert not patients["train"] & patients["validation"]
    assert 0.1 < len(source.split("validation")) / 24 < 0.4


@pytest.mark.parametrize("labels", [[3, 1, 2] * 8, [3.0, 1.0, 2.0] * 8])
def test_labels_may_be_numbers(rows, tmp_path, labels):
    source = open_source(save_table(rows.assign(Label=labels), tmp_path / "t.csv"), SPEC)
    assert source.class_names == ("1", "2", "3")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.rename(columns={"file": "was"}), "columns was, Label, patient, split, and none for the path"),
        (lambda t: t.drop(columns="Label"), "none for the label; rename one .*label, class"),
        (lambda t: t.assign(Label=[None, *t.Label[1:]]), "no label in 1 rows, first in row 1"),
        (lambda t: t.assign(file=[*t.file[:-2], None, None]), "no path in 2 rows, first in row 23"),
        (lambda t: t.assign(split="holdout"), "split 'holdout'; use train, validation"),
        (lambda t: t.assign(split="test"), "no row of split train"),
        (lambda t: t.iloc[:0], "has no rows"),
        (lambda t: pd.concat([t, t[["Label"]]], axis=1), "column 'Label' more than once"),
        (lambda t: t.assign(label="x"), "column 'label' more than once"),
    ],
)
def test_invalid_table_raises_with_a_remedy(rows, tmp_path, change, words):
    with pytest.raises(DataError, match=rf"'.*t\.csv'.*{words}"):
        open_source(save_table(change(rows), tmp_path / "t.csv"), SPEC)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", b"", "as a table"),
        ("t.csv", b"\x89PNG\r\n\x1a\n\0\0\xff\xfe", "as a table"),
        ("t.parquet", b"nothing", "as a table"),
        ("absent.csv", None, "No such file"),
    ],
)
def test_unreadable_table_is_named(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}.*{words}"):
        open_source(tmp_path / name, SPEC)


def test_fit_quarantines_missing_files(rows, tmp_path):
    (tmp_path / rows.file[5]).unlink()
    changes = {"data.image_size": 8, "data.batch_size": 6, "model.name": "resnet8", "train.epochs": 1}
    run = cr.fit(
        "photos_from_scratch",
        data=save_table(rows, tmp_path / "t.csv"),
        workdir=tmp_path / "runs",
        progress=False,
        **changes,
        **{"optimizer.warmup": "0 epochs", "augment.ops": []},
    )
    (line,) = (run.folder / "quarantine.txt").read_text().splitlines()
    assert json.loads(line.split("\t")[0]) == str(tmp_path / rows.file[5])
    assert line.endswith("No such file or directory")
    assert run.evaluate(split="validation")["n"] == 6


def test_group_in_two_splits_is_refused_by_open_source_and_check_data(rows, tmp_path):
    path = save_table(rows.assign(patient=[f"p{i // 4}" for i in range(24)]), tmp_path / "t.csv")
    with pytest.raises(DataError, match="1 group in two splits, for example 'p4' in train and validation"):
        open_source(path, SPEC)
    report = cr.check_data(path)
    assert not report.trainable
    (leak,) = [finding for finding in report.findings if finding.kind == "leaking groups"]
    assert len(leak.groups) == 1  # patient p4 has images 16 to 19
    assert len(leak.files) == 4


def test_backslashes_are_separators_on_every_system(rows, tmp_path):
    backslashed = rows.assign(file=rows.file.str.replace("/", "\\"))
    for split, some in open_source(save_table(backslashed, tmp_path / "t.csv"), SPEC).splits.items():
        assert all(os.path.isfile(path) for path in some.images.items), split
    assert cr.check_data(tmp_path / "t.csv").trainable


@pytest.mark.skipif(os.name == "nt", reason="a backslash is no part of a name there")
def test_existing_file_with_a_backslash_in_its_name_is_found(rows, tmp_path):
    (tmp_path / "odd\\name.png").write_bytes((tmp_path / rows.file[0]).read_bytes())
    source = open_source(save_table(rows.assign(file=["odd\\name.png", *rows.file[1:]]), tmp_path / "t.csv"), SPEC)
    assert source.split("train").images.items[0] == str(tmp_path / "odd\\name.png")


def test_split_column_accepts_common_split_names(rows, tmp_path):
    table = rows.assign(split=["Training" if i < 15 else "dev" if i < 18 else "test_set" for i in range(24)])
    source = open_source(save_table(table, tmp_path / "t.csv"), SPEC)
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 15, "validation": 3, "test": 6}


def test_file_with_two_labels_is_reported_as_a_duplicate(rows, tmp_path):
    twice = pd.concat([rows, rows.iloc[:1].assign(Label="b")])
    report = cr.check_data(save_table(twice, tmp_path / "t.csv"))
    (finding,) = [one for one in report.findings if one.kind == "copies in different classes"]
    assert [os.path.basename(file) for file in finding.files] == ["0.png", "0.png"]


def test_mistyped_table_suggests_the_nearest(rows, tmp_path):
    save_table(rows, tmp_path / "labels.csv")
    with pytest.raises(DataError, match="No such file.*did you mean '.*/labels.csv'"):
        open_source(tmp_path / "label.csv", SPEC)


def test_check_data_reports_missing_files_of_a_table(rows, tmp_path):
    (tmp_path / rows.file[5]).unlink()
    report = cr.check_data(save_table(rows, tmp_path / "t.csv"))
    assert list(report.unreadable) == [str(tmp_path / rows.file[5])]
    assert report.counts["train"].sum() == 17


def test_remote_folder_is_read_like_a_local_one(tmp_path):
    """ram:// is TensorFlow's in-memory file system; gs:// and s3:// use the same functions."""
    for split, n in (("train", 4), ("val", 2)):
        for name in ("ant", "bee"):
            for i in range(n):
                image = np.full((9, 9, 3), i * 10, np.uint8)
                tf.io.gfile.makedirs(f"ram://photos/{split}/{name}")
                tf.io.write_file(f"ram://photos/{split}/{name}/{i}.png", tf.io.encode_png(image))
    source = open_source("ram://photos", SPEC)
    assert source.class_names == ("ant", "bee")
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 8, "validation": 4}
    assert tf.io.decode_png(source.split("train").read(3)[0])[0, 0, 0] == 30
    report = cr.check_data("ram://photos")
    assert report.counts.loc["bee"].tolist() == [4, 2]
    with pytest.raises(DataError, match="'ram://nowhere' does not exist"):
        open_source("ram://nowhere", SPEC)


def image(i, height=8):
    return np.full((height, 8, 3), i * 10, np.uint8)


@pytest.mark.parametrize("batch", [0, 5])
@pytest.mark.parametrize("kind", ["array", "encoded"])
def test_tf_data_dataset_is_a_source(kind, batch):
    images = np.stack([image(i) for i in range(12)])
    given = images if kind == "array" else [tf.io.encode_png(one).numpy() for one in images]
    dataset = tf.data.Dataset.from_tensor_slices((given, np.arange(12) % 3))
    dataset = dataset.batch(batch) if batch else dataset
    source = open_source({"train": dataset, "test": dataset.take(2)}, SPEC)
    assert source.class_names == ("0", "1", "2")
    found, label = source.split("test").read(1)
    found = tf.io.decode_png(found).numpy() if kind == "encoded" else found
    np.testing.assert_array_equal(found, images[1])
    assert label == 1


def test_images_of_many_shapes_are_stored_losslessly():
    images = [image(i, 8 + i) for i in range(12)]
    dataset = tf.data.Dataset.from_generator(
        lambda: ((one, i % 2) for i, one in enumerate(images)),
        output_signature=(tf.TensorSpec((None, 8, 3), tf.uint8), tf.TensorSpec((), tf.int32)),
    )
    split = open_source(dataset, Data(name="x", image_size=8, validation=0.0)).split("train")
    for i, one in enumerate(images):
        np.testing.assert_array_equal(tf.io.decode_png(split.read(i)[0]), one)


def test_keras_image_dataset_keeps_its_class_names(flowers):
    import keras

    dataset = keras.utils.image_dataset_from_directory(flowers, image_size=(16, 16), interpolation="nearest", verbose=0)
    assert open_source(dataset, SPEC).class_names == ("daisy", "dandelion", "rose", "sunflower", "tulip")


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (tf.data.Dataset.from_tensors((image(0), 0)).repeat(), "is infinite"),
        (tf.data.Dataset.from_tensors(image(0)), "elements of type ndarray; give a data set"),
        (tf.data.Dataset.from_tensors((image(0), 0)).take(0), "is empty"),
        (tf.data.Dataset.from_tensor_slices((np.zeros((4, 8, 8, 3)) - 0.5, [0, 1, 0, 1])), "-0.5..-0.5; give 0..255"),
        (
            tf.data.Dataset.range(4).map(lambda i: (tf.zeros((8 // (2 - i), 8, 3), tf.uint8), i)),
            "fails after 2 images",
        ),
    ],
)
def test_invalid_dataset_raises_with_a_remedy(dataset, words):
    with pytest.raises(DataError, match=words):
        open_source(dataset, SPEC)

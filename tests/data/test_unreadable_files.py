"""Unreadable files are excluded before splitting, identically by every function that opens a data set."""

from __future__ import annotations

import re
import shutil
import struct
import threading
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

import cnnrecipes as cr
from cnnrecipes import analysis
from cnnrecipes.cli.app import app
from cnnrecipes.data.audit import file_info
from cnnrecipes.data.sources.opening import open_own_splits
from cnnrecipes.data.sources.random_access_dataset import Source, Split
from cnnrecipes.data.sources.split_off import split_off
from cnnrecipes.data.sources.tfds_records import RecordImages, open_records
from cnnrecipes.data.unreadable_files import inspect_source, open_readable
from cnnrecipes.recipe.schema import Data

CHANGES = {"data.image_size": 16, "data.batch_size": 8, "model.name": "resnet8", "train.epochs": 1}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNRECIPES_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def pets(tmp_path) -> Path:
    """20 images of cats; 10 of dogs, of which all but one are truncated."""
    random = np.random.default_rng(0)
    for name, count in (("cat", 20), ("dog", 10)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(count):
            path = tmp_path / "pets" / name / f"{i:02}.png"
            Image.fromarray(random.integers(0, 256, (24, 24, 3), np.uint8)).save(path)
            if name == "dog" and i != 4:
                path.write_bytes(path.read_bytes()[:100])
    return tmp_path / "pets"


def test_only_readable_image_of_a_class_is_in_the_training_split(pets):
    for seed in range(12):
        source, bad = open_readable(pets, Data(name="x", image_size=16, validation=0.3, split_seed=seed))
        assert len(bad) == 9
        assert np.bincount(source.split("train").labels).tolist() == [14, 1]
        assert np.bincount(source.split("validation").labels, minlength=2).tolist() == [6, 0]


@pytest.mark.parametrize("how", [{"split": "content"}, {"test": 0.2}, {"folds": 4}])
def test_split_does_not_depend_on_unreadable_files(pets, tmp_path, how):
    good = shutil.copytree(pets, tmp_path / "good")
    for i in set(range(10)) - {4}:
        (good / "dog" / f"{i:02}.png").unlink()
    for i in range(6):  # folds need as many images of each class
        for root in (pets, good):
            shutil.copy(root / "cat" / f"{i:02}.png", root / "dog" / f"copy{i}.png")
    spec = Data(name="x", image_size=16, validation=0.3, **how)
    names = [
        {name: [Path(part.images.items[i]).name for i in part.positions] for name, part in source.splits.items()}
        for source in (open_readable(root, spec)[0] for root in (pets, good))
    ]
    assert names[0] == names[1]


def test_check_data_and_fit_agree_and_validation_is_reproducible(pets, tmp_path):
    report = cr.check_data(pets)
    assert report.trainable
    run = cr.fit("photos_from_scratch", pets, workdir=tmp_path / "runs", progress=False, **CHANGES)
    assert run.metrics["validation"]["n"] == 2
    assert run.evaluate(split="validation") == run.metrics["validation"]


def test_check_data_refuses_groups_that_cannot_be_split(pets):
    rows = [(str(path), path.parent.name, path.parent.name) for path in sorted(pets.rglob("*.png"))]
    report = cr.check_data(pd.DataFrame(rows, columns=["path", "label", "patient"]))
    assert not report.trainable
    assert "leave none for the validation split" in report.findings[0].message
    with pytest.raises(cr.DataError, match="leave none for the validation split"):
        open_readable(pd.DataFrame(rows, columns=["path", "label", "patient"]), Data(name="x", image_size=16))


def test_split_off_does_not_modify_the_source(pets):
    source, problems = open_own_splits(pets, Data(name="x", image_size=16))
    assert not problems
    divided, problems = split_off(source, Data(name="x", image_size=16))
    assert not problems
    assert set(source.splits) == {"train"}
    assert {name: len(part) for name, part in divided.splits.items()} == {"train": 27, "validation": 3}


@pytest.fixture(scope="module")
def pets_run(tmp_path_factory):
    """A run with the classes cat and dog."""
    random = np.random.default_rng(1)
    data = random.integers(0, 256, (12, 16, 16, 3), np.uint8), np.array(["cat", "dog"] * 6)
    return cr.fit("photos_from_scratch", data, workdir=tmp_path_factory.mktemp("runs"), progress=False, **CHANGES)


def test_evaluate_skips_and_counts_corrupt_files(pets, pets_run):
    with pytest.warns(cr.CNNRecipesWarning, match="9 of 30 files cannot be read and are left out"):
        metrics = pets_run.evaluate(pets)
    assert (metrics["n"], metrics["left_out"]) == (21, 9)
    for path in pets.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(cr.DataError, match=r"none of the 30 data images can be read, for example '.*cat/00\.png'"):
        pets_run.evaluate(pets)


def test_evaluate_without_corrupt_files_has_no_left_out_count(pets, pets_run):
    shutil.rmtree(pets / "dog")
    metrics = pets_run.evaluate(pets)
    assert metrics["n"] == 20
    assert "left_out" not in metrics


def test_predict_accepts_lists_of_folders_patterns_files_and_arrays(pets, pets_run):
    array = np.zeros((16, 16, 3), np.uint8)
    one = pets / "dog" / "04.png"
    with pytest.warns(
        cr.CNNRecipesWarning, match=r"9 of 33 images cannot be read and are left out, for example '.*dog/00"
    ):
        found = pets_run.predict([one, pets, array, str(pets / "cat" / "0[01].png")])
    cats = [str(pets / "cat" / f"{i:02}.png") for i in range(20)]
    assert [prediction.file for prediction in found] == [str(one), *cats, str(one), None, *cats[:2]]
    assert found[0] == pets_run.predict(one)
    assert found[22] == pets_run.predict(array)
    with pytest.raises(cr.DataError, match=r"cannot read '.*dog/00\.png'"):
        pets_run.predict([pets / "cat", pets / "dog" / "00.png"])


def test_plot_batch_skips_corrupt_files_with_a_warning(pets, tmp_path):
    with pytest.warns(
        cr.CNNRecipesWarning, match=r"9 of 30 files cannot be read and are left out, for example '.*dog/00\.png'"
    ):
        figure = analysis.plot_batch("photos_from_scratch", data=pets, path=tmp_path / "batch.png", **CHANGES)
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    assert set(titles) <= {"cat", "dog"}
    assert (tmp_path / "batch.png").stat().st_size > 1000


class Meeting(RecordImages):
    """Records whose reads block until another read is in progress."""

    together = threading.Barrier(2, timeout=10)

    def read(self, position):
        self.together.wait()
        return super().read(position)


def test_records_are_inspected_in_parallel_and_in_order(tmp_path):
    """Records as TFDS stores them, for sets larger than memory."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (20 + i, 24, 3), np.uint8) for i in range(10)]
    with tf.io.TFRecordWriter(str(tmp_path / "x.tfrecord")) as writer:
        for i, image in enumerate(images):
            features = {
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[tf.io.encode_png(image).numpy()])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[i % 2])),
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    stored, labels = open_records([str(tmp_path / "x.tfrecord")], 3)
    split = Split("train", Meeting(**vars(stored)), labels, np.arange(10))
    looks = inspect_source(Source("records", ("a", "b"), {"train": split}))["train"]
    assert [(one.path, one.height) for one in looks] == [(f"train[{i}]", 20 + i) for i in range(10)]
    assert [one.looks for one in looks] == [file_info.looks(image) for image in images]


def test_large_images_are_drawn_in_a_report_without_a_warning(tmp_path, monkeypatch):
    """100 million pixels, of which Pillow warns, and a file that claims 400 million, which Pillow refuses."""
    for name in ("cat", "dog"):
        (tmp_path / "big" / name).mkdir(parents=True)
        for i in range(3):
            Image.effect_noise((40, 40), 50 + i).convert("RGB").save(tmp_path / "big" / name / f"{i}.png")
    Image.new("1", (10_000, 10_000)).save(tmp_path / "big" / "cat" / "large.png")
    shutil.copy(tmp_path / "big" / "cat" / "large.png", tmp_path / "big" / "dog" / "large.png")
    content = (tmp_path / "big" / "cat" / "large.png").read_bytes()
    (tmp_path / "big" / "cat" / "claims.png").write_bytes(
        content[:16] + struct.pack(">II", 20_000, 20_000) + content[24:]
    )
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # of other packages
        assert app(["check-data", "big"], standalone_mode=False) == 0
    page = (tmp_path / "check" / "big" / "report.html").read_text()
    large = [figure for figure in re.findall("<figure id=.*?</figure>", page) if "large.png" in figure]
    assert large
    assert all("data:image/jpeg" in figure for figure in large)
    assert "20000 x 20000" in page

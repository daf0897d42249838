"""TFDS sets read from record files on demand give the same images and labels as sets held in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from cnnrecipes._support import user_cache
from cnnrecipes.data.images.decode import decode
from cnnrecipes.data.sources import tfds, tfds_records
from cnnrecipes.errors import DataError


@pytest.fixture
def few(shared, tmp_path):
    """The first hundred records of CIFAR-10 in two files, and their images and labels as read by TensorFlow."""
    path = shared / "tfds" / "cifar10" / "3.0.2" / "cifar10-test.tfrecord-00000-of-00001"
    contents = [record.numpy() for record in tf.data.TFRecordDataset(str(path)).take(100)]
    files = [str(tmp_path / f"part-{i}") for i in range(2)]
    for file, some in zip(files, (contents[:30], contents[30:]), strict=True):
        with tf.io.TFRecordWriter(file) as writer:
            for content in some:
                writer.write(content)
    spec = {"image": tf.io.FixedLenFeature((), tf.string), "label": tf.io.FixedLenFeature((), tf.int64)}
    parsed = [tf.io.parse_single_example(content, spec) for content in contents]
    return files, [one["image"].numpy() for one in parsed], [int(one["label"]) for one in parsed]


def test_record_index_finds_every_record(few):
    files, images, labels = few
    for _ in range(2):  # indexed, then read from the cache
        found, found_labels = tfds_records.open_records(files, 3)
        assert [found.read(i) for i in range(100)] == images
        assert found_labels.tolist() == labels
    assert (user_cache.folder() / "records" / f"{user_cache.fingerprint(files)}.npz").is_file()
    assert found.offsets.itemsize + found.lengths.itemsize + found.numbers.itemsize <= 16


@pytest.mark.parametrize("cut", [5, 17, 2000])
def test_truncated_record_file_is_named(few, cut, tmp_path):
    (tmp_path / "cut").write_bytes(Path(few[0][0]).read_bytes()[:-cut])
    with pytest.raises(DataError, match=r"cut' is truncated at byte \d+; prepare"):
        tfds_records.open_records([str(tmp_path / "cut")], 3)


def test_records_without_image_and_label_are_refused(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "other")) as writer:
        feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"x"]))
        writer.write(tf.train.Example(features=tf.train.Features(feature={"text": feature})).SerializeToString())
    with pytest.raises(DataError, match="no 'label', only text"):
        tfds_records.open_records([str(tmp_path / "other")], 3)


def test_lazily_read_set_equals_the_set_in_memory(shared, monkeypatch):
    _, held = tfds.read("cifar10")
    monkeypatch.setattr(tfds, "MEMORY_LIMIT", 2**20)
    names, lazy = tfds.read("cifar10")
    assert isinstance(lazy["train"].images, tfds_records.RecordImages)
    assert names[3] == "cat"
    for split, pool in lazy.items():
        np.testing.assert_array_equal(pool.labels, held[split].labels)
        for position in range(0, len(pool.images), 4999):
            image = decode(pool.images.read(position), 3)
            np.testing.assert_array_equal(image, held[split].images.read(position))


def test_array_records_are_read_through_tfds(tmp_path, monkeypatch):
    pytest.importorskip("array_record", reason="TFDS brings array_record on Linux and macOS only")
    import tensorflow_datasets as sets

    features = sets.features.FeaturesDict(
        {"image": sets.features.Image(), "label": sets.features.ClassLabel(num_classes=3)}
    )
    images = [np.full((6 + i, 8, 3), i, np.uint8) for i in range(12)]
    rows = [(i, {"image": image, "label": i % 3}) for i, image in enumerate(images)]
    builder = sets.dataset_builders.store_as_tfds_dataset(
        name="numbered",
        version="1.0.0",
        features=features,
        split_datasets={"train": rows},
        data_dir=tmp_path,
        file_format="array_record",
    )
    monkeypatch.setattr(tfds, "MEMORY_LIMIT", 0)
    pool = tfds._pool(builder, "train")
    assert isinstance(pool.images, tfds_records.DataSourceImages)
    found = {int(decode(pool.images.read(i), 3)[0, 0, 0]): int(pool.labels[i]) for i in range(12)}
    assert found == {i: i % 3 for i in range(12)}

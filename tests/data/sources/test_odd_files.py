"""Rare and damaged image files, tables with unusual values, invalid tf.data data sets, record files."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from encoding import encoded
from PIL import Image

from cnnrecipes._support import file_systems, user_cache
from cnnrecipes.data.audit.report import check_data, quarantine
from cnnrecipes.data.images.decode import choose_route, decode, decode_routed
from cnnrecipes.data.sources import tfds_records
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.data.unreadable_files import open_readable
from cnnrecipes.errors import DataError
from cnnrecipes.recipe.schema import Data

SPEC = Data(name="arrays", image_size=8, validation=0.0)
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))


def gif_on_a_larger_canvas() -> bytes:
    content = bytearray(encoded(PHOTO.quantize(16), "GIF"))
    content[6:10] = struct.pack("<HH", 40, 50)
    return bytes(content)


def bmp_of_os2(width: int, height: int) -> bytes:
    """A BMP with the header of 12 bytes (BITMAPCOREHEADER), 24 bits per pixel."""
    row = np.random.default_rng(0).integers(0, 256, (height, -(-width * 3 // 4) * 4), dtype=np.uint8)
    header = struct.pack("<IHHHH", 12, width, height, 1, 24)
    return b"BM" + struct.pack("<IHHI", 26 + row.size, 0, 0, 26) + header + row.tobytes()


@pytest.mark.parametrize(
    "content",
    [
        encoded(PHOTO.quantize(16), "GIF", transparency=2),
        gif_on_a_larger_canvas(),
        bmp_of_os2(5, 3),
        bmp_of_os2(300, 40),
        encoded(PHOTO.quantize(16), "PNG", transparency=3),
        encoded(PHOTO, "WEBP", lossless=True, save_all=True, append_images=[PHOTO.transpose(0)]),
    ],
    ids=["transparent gif", "gif on a canvas", "small bmp of OS/2", "bmp of OS/2", "transparent png", "moving webp"],
)
def test_rare_formats_are_bit_identical_to_pillow(content):
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(decode(content, 3), expected)
    inside = tf.function(lambda content, route: decode_routed(content, route, 3))
    np.testing.assert_array_equal(inside(tf.constant(content), tf.constant(choose_route(content))), expected)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "WEBP", "PNG", "JPEG"])
def test_damaged_file_decodes_or_raises_invalid_argument(kind):
    whole = encoded(PHOTO.quantize(16) if kind in ("GIF", "BMP") else PHOTO, kind)
    random = np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(whole)
        for place in random.integers(0, min(len(whole), 120), 4):
            content[place] = random.integers(0, 256)
        with contextlib.suppress(tf.errors.InvalidArgumentError):
            assert decode(bytes(content), 3).shape[2] == 3


def test_oversized_gif_frame_is_refused():
    content = bytearray(encoded(PHOTO.quantize(16), "GIF"))
    place = content.index(b",", 13 + 3 * 16)
    content[place + 5 : place + 9] = struct.pack("<HH", 60_000, 60_000)
    with pytest.raises(tf.errors.InvalidArgumentError, match="3600000000 pixels"):
        decode(bytes(content), 3)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no file names but UTF-8")
def test_file_names_that_are_not_utf8_are_accepted_and_class_names_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNRECIPES_CACHE", str(tmp_path / "cache"))
    for i, name in enumerate((b"a/1\xff", b"a/2", b"b/1\xe4 \n\xff", b"b/2")):
        path = os.path.join(os.fsencode(tmp_path), b"photos", name + b".png")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(encoded(PHOTO.rotate(i), "PNG") if i else b"nothing")
    for _ in range(2):  # the second time from the cache
        source, bad = open_readable(tmp_path / "photos", SPEC)
        assert len(source.split("train")) == 3
        assert r"1\udcff.png" in quarantine(bad)
    for file in check_data(tmp_path / "photos").save(tmp_path / "report"):
        assert r"1\udcff.png" in file.read_text(encoding="utf-8")
    os.rename(os.path.join(os.fsencode(tmp_path), b"photos/b"), os.path.join(os.fsencode(tmp_path), b"photos/\xff"))
    with pytest.raises(DataError, match=r"udcff' is not UTF-8; rename it"):
        open_source(tmp_path / "photos", SPEC)
    report = check_data(tmp_path / "photos")
    assert not report.trainable
    assert report.counts["train"].to_dict() == {"a": 1, r"\udcff": 2}
    assert all(path.stat().st_size for path in report.save(tmp_path / "report2"))


@pytest.fixture
def table(tmp_path):
    def written(text: str):
        (tmp_path / "t.csv").write_text(text)
        return tmp_path / "t.csv"

    return written


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["007", "010", "9"], ("007", "010", "9")),
        (["2", "10", "1"], ("1", "2", "10")),
        (["2.0", "10.0", "1.0"], ("1", "2", "10")),
        (["None", "tumour", "True"], ("None", "True", "tumour")),
    ],
)
def test_csv_labels_are_kept_as_written(table, labels, names):
    source = open_source(table("path,label\n" + "".join(f"{i}.png,{labels[i % 3]}\n" for i in range(6))), SPEC)
    assert source.class_names == names
    number = {text: names.index(text.removesuffix(".0")) for text in labels}
    assert source.split("train").labels.tolist() == [number[labels[i % 3]] for i in range(6)]


def test_csv_paths_are_kept_as_written(table, tmp_path):
    split = open_source(table("path,label\n001,a\n1e3,b\n"), SPEC).split("train")
    assert list(split.images.items) == [str(tmp_path / "001"), str(tmp_path / "1e3")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,label\n1.png,a,5\n2.png,b,6\n", "more cells in its rows than columns"),
        ("path,label\n1.png,a\n2.png,NA\n", "no label in 1 rows, first in row 2.*NA.*missing values"),
        ("path,label\n1.png,a\n2.png,\n", "no label in 1 rows, first in row 2"),
    ],
)
def test_ambiguous_csv_is_refused(table, text, words):
    with pytest.raises(DataError, match=words):
        open_source(table(text), SPEC)


@pytest.mark.parametrize("label", [[1], float("inf"), pd.Timestamp("2026-01-01")])
def test_labels_that_are_not_names_are_refused(label):
    frame = pd.DataFrame({"path": ["a.png", "b.png"], "label": pd.Series([label, label], dtype=object)})
    with pytest.raises(DataError, match="the DataFrame has the label"):
        open_source(frame, SPEC)


def test_batched_grayscale_dataset_is_read():
    images = np.random.default_rng(0).integers(0, 256, (12, 9, 8), dtype=np.uint8)
    dataset = tf.data.Dataset.from_tensor_slices((images, np.arange(12) % 2)).batch(5)
    split = open_source(dataset, SPEC).split("train")
    np.testing.assert_array_equal(split.images.array[..., 0], images)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((4, 5), np.uint8), r"ndarray and shape \(5,\)"),
        (tf.ragged.constant([[1, 2], [3], [4], [5]]), r"shape \(2,\)"),
        (np.zeros((4, 2, 8, 8, 3), np.uint8), r"\(2, 8, 8, 3\) with labels \(\)"),
    ],
)
def test_dataset_elements_that_are_not_images_raise(images, words):
    with pytest.raises(DataError, match=words):
        open_source(tf.data.Dataset.from_tensor_slices((images, [0, 1, 0, 1])), SPEC)


def test_unsupported_channel_count_raises():
    dataset = tf.data.Dataset.range(4).map(lambda i: (tf.zeros((8 + i, 8, 4), tf.uint8), i % 2))
    with pytest.raises(DataError, match="4 channels; give 1 or 3"):
        open_source(dataset, SPEC)


def test_error_inside_a_dataset_is_reported_in_one_line():
    signature = (tf.TensorSpec((8, 8, 3), tf.uint8), tf.TensorSpec((), tf.int32))
    dataset = tf.data.Dataset.from_generator(lambda: iter([1 / 0]), output_signature=signature)
    with pytest.raises(DataError, match="after 0 images: ZeroDivisionError: division by zero; correct its map"):
        open_source(dataset, SPEC)


def record_file(path: str, count: int) -> list[bytes]:
    contents = [encoded(PHOTO.rotate(i), "PNG") for i in range(count)]
    with tf.io.TFRecordWriter(path) as file:
        for i, content in enumerate(contents):
            feature = {
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[content])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[i % 3])),
            }
            file.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return contents


@pytest.mark.parametrize("where", ["here", "ram://records"])
def test_damaged_record_index_is_rebuilt_for_local_and_remote_files(where, tmp_path, monkeypatch):
    monkeypatch.setenv("CNNRECIPES_CACHE", str(tmp_path / "cache"))
    folder = str(tmp_path) if where == "here" else where
    files = [file_systems.join(folder, f"{name}.tfrecord") for name in "ab"]
    contents = record_file(files[0], 5) + record_file(files[1], 3)
    for damage in (None, b"", b"PK nothing", b"\x93NUMPY"):
        if damage is not None:
            for kept in (user_cache.folder() / "records").iterdir():
                kept.write_bytes(damage)
        images, labels = tfds_records.open_records(files, 3)
        assert labels.tolist() == [0, 1, 2, 0, 1, 0, 1, 2]
        assert [images.read(i) for i in range(8)] == contents
    assert sum(column.nbytes for column in (images.numbers, images.offsets, images.lengths)) <= 16 * 8

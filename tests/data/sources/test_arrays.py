"""Arrays as data: accepted dtypes, ranges and label formats, and errors with a remedy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cnnrecipes.data.sources.arrays import as_images, read
from cnnrecipes.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 7, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3


@pytest.mark.parametrize("view", [np.s_[:], np.s_[:, ::-1], np.s_[2:9, :5], np.s_[..., 0]])
def test_uint8_images_are_not_copied(view):
    array = as_images(IMAGES[view], "the images")
    assert np.shares_memory(array, IMAGES)
    np.testing.assert_array_equal(array.reshape(IMAGES[view].shape), IMAGES[view])


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "float16", "float32", "float64"])
def test_integer_values_of_any_dtype_are_kept(dtype):
    values = IMAGES % 128
    array = as_images(values.astype(dtype), "the images")
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, values)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (LABELS + 7, ("7", "8", "9")),
        (pd.Series(list("bca") * 4), ("a", "b", "c")),
        (pd.Categorical(list("bca") * 4), ("a", "b", "c")),
        (np.array(list("bca") * 4, object), ("a", "b", "c")),
        (LABELS.astype(np.float32)[:, None], ("0", "1", "2")),
    ],
)
def test_labels_are_encoded_by_their_sorted_names(labels, names):
    class_names, pools = read((IMAGES, labels))
    assert class_names == names
    given = [str(int(label) if isinstance(label, float) else label) for label in np.asarray(labels).ravel().tolist()]
    assert [class_names[label] for label in pools["train"].labels] == given


@pytest.mark.parametrize("names", [("cat", "ant", "bee"), ["cat", "ant", "bee"], np.array(["cat", "ant", "bee"])])
def test_given_class_names_keep_their_order(names):
    by_name, by_number = np.array(["cat", "ant", "bee"])[LABELS], LABELS
    for labels in (by_name, by_number):
        class_names, pools = read({"train": (IMAGES, labels), "class_names": names})
        assert class_names == ("cat", "ant", "bee")
        np.testing.assert_array_equal(pools["train"].labels, LABELS)


def test_label_encoding_is_shared_by_all_splits():
    words = np.array(["cat", "ant", "bee"])[LABELS]
    class_names, pools = read({"train": (IMAGES, words), "test": (IMAGES[:2], ["bee", "cat"])})
    assert [class_names[label] for label in pools["test"].labels] == ["bee", "cat"]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([IMAGES[0], IMAGES[0, :5]] * 6, "shape"),
        (np.where(IMAGES > 9, IMAGES, np.nan), "NaN or infinity in 12 of 12, first in image 0.*0..255"),
        (np.where(IMAGES > 9, IMAGES, np.inf), "inf.*0..255"),
        (IMAGES > 9, "bool.*0..255"),
        (IMAGES.astype(np.int16) - 1, "-1..254.*0..255"),
        (IMAGES[:0], r"\(0, 8, 7, 3\)"),
        (np.moveaxis(IMAGES, -1, 1), r"\(12, 3, 8, 7\).*channels are first.*transpose\(0, 2, 3, 1\)"),
        (np.repeat(IMAGES[..., :1], 4, -1), r"\(12, 8, 7, 4\).*of RGBA take images\[..., :3\]"),
        (IMAGES.reshape(12, -1), r"\(12, 168\).*reshape"),
        (IMAGES / 127.5 - 1, r"-1..1; give 0..255 or 0..1; .*\(images \+ 1\) \* 127.5"),
        ((IMAGES - 110.0) / 60, r"-1.83.*undo the standardization"),
        (IMAGES / 200, r"0..1.275 with fractions, which is neither 0..1 nor 0..255"),
        (IMAGES.astype(np.uint16) * 257, r"0..65535; give 0..255; 16 bits become 8 by images // 257"),
        (None, "images.*shape"),
    ],
)
def test_invalid_images_raise_with_a_remedy(images, words):
    with pytest.raises(DataError, match=words):
        read((images, LABELS))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([[0], [1, 2]] * 6, "labels"),
        (3, r"\(\).*\(N,\)"),
        (LABELS + 0.5, "float64, for example 0.5; give integers"),
        (np.eye(3)[LABELS] * 0.9, r"\(12, 3\) and are not one-hot, for example \[0.9, 0.0, 0.0\] in row 0"),
        (np.ones((12, 2)), r"not one-hot, for example \[1.0, 1.0\] in row 0"),
        (np.eye(3)[LABELS].astype(str), r"\(12, 3\) and are not one-hot"),
        (np.zeros((12, 2, 2)), r"\(12, 2, 2\); give \(N,\)"),
        ([None, 1, 2] * 4, "object.*integers"),
        (LABELS == 1, "bool.*integers"),
    ],
)
def test_invalid_labels_raise_with_a_remedy(labels, words):
    with pytest.raises(DataError, match=words):
        read((IMAGES, labels))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (7, r"int.*data=\(images, labels\)"),
        ((IMAGES, LABELS, LABELS), r"tuple.*data=\(images, labels\)"),
        (((IMAGES, LABELS), (IMAGES, LABELS)), r"keras.datasets.*data=\{'train': data\[0\], 'test': data\[1\]\}"),
        ((LABELS, IMAGES), r"images of shape \(12,\) and labels of \(12, 8, 7, 3\); swap the two"),
        (
            {"train": (IMAGES, LABELS), "val": (IMAGES, LABELS), "valid": (IMAGES, LABELS)},
            "validation twice, once as 'valid'",
        ),
        ({"train": (IMAGES / 255, LABELS), "test": (IMAGES + 0.0, LABELS)}, r"train images 0..1, test images 0..255"),
        ({"train": (IMAGES, LABELS), "class_names": 3}, "class_names.*3"),
        ({"train": (IMAGES, LABELS - 1), "class_names": list("abc")}, "-1.*3 class names.*0..2"),
        ({"train": (IMAGES, LABELS * 2), "class_names": list("abc")}, "4.*3 class names"),
        ({"train": (IMAGES, list("abd") * 4), "class_names": list("abc")}, "'d'.*3 class names"),
        ({"train": (IMAGES, LABELS), "validation": (IMAGES, list("abc") * 4)}, "validation|label"),
        ({"train": (IMAGES, LABELS), "validation": (IMAGES[..., :1], LABELS)}, r"differ.*\(8, 7, 3\).*\(8, 7, 1\)"),
    ],
)
def test_invalid_data_raises_with_a_remedy(data, words):
    with pytest.raises(DataError, match=words):
        read(data)


def read_with_messages(images, labels=LABELS, **options):
    """The training images and labels, and the messages."""
    said = []
    _, pools = read((images, labels), say=said.append, **options)
    return pools["train"].images.array, pools["train"].labels, said


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_in_0_to_1_are_scaled_to_the_original_bytes(dtype):
    found, _, said = read_with_messages((IMAGES / 255).astype(dtype))
    np.testing.assert_array_equal(found, IMAGES)
    assert said == [f"the train images are {dtype} 0..1: multiplied by 255 and rounded"]


def test_fractions_in_0_to_255_are_rounded_with_a_message():
    values = np.random.default_rng(1).uniform(0, 255, IMAGES.shape)
    found, _, said = read_with_messages(values)
    np.testing.assert_array_equal(found, np.rint(values))
    assert said == ["the train images are float64 0..255 with fractions: rounded to whole numbers"]
    assert read_with_messages(IMAGES.astype(np.float32))[2] == []


def test_value_range_is_shared_by_all_splits():
    """A dark test split is not stretched, since the training split determines the range."""
    _, pools = read({"train": (IMAGES / 255, LABELS), "test": (IMAGES * 0.0, LABELS)})
    assert pools["test"].images.array.max() == 0
    dark = np.where(IMAGES > 250, 1.0, 0.0)
    with pytest.raises(DataError, match="differ in range"):
        read({"train": (IMAGES.astype(float), LABELS), "test": (dark, LABELS)})


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_masks_of_0_and_1_are_kept_with_a_warning(dtype):
    found, _, said = read_with_messages((IMAGES > 99).astype(dtype))
    assert found.max() == 1
    assert len(said) == 1
    assert said[0].startswith("warning: the train images look like 0..1")
    assert said[0].endswith("give images * 255")


@pytest.mark.parametrize("dtype", ["int64", "float32", "bool"])
def test_one_hot_labels_are_decoded_including_unused_columns(dtype):
    said = []
    names, pools = read((IMAGES, np.eye(4)[LABELS].astype(dtype)), say=said.append)
    assert names == ("0", "1", "2", "3")
    np.testing.assert_array_equal(pools["train"].labels, LABELS)
    assert said == ["the train labels (12, 4) are one-hot: taken as 4 classes"]


def test_pandas_dummies_keep_their_column_names():
    names, pools = read((IMAGES, pd.get_dummies(pd.Series(list("bca") * 4))))
    assert [names[label] for label in pools["train"].labels] == list("bca") * 4


KNOWN = ("cat", "ant", "bee")


@pytest.mark.parametrize(
    ("labels", "names", "known", "expected"),
    [
        (["bee", "cat", "bee"], None, KNOWN, [2, 0, 2]),
        ([2, 0, 2], None, KNOWN, [2, 0, 2]),
        ([1, 0, 1], ["cat", "bee"], KNOWN, [2, 0, 2]),
        (np.eye(3)[[2, 0, 2]], None, KNOWN, [2, 0, 2]),
        ([9, 7, 9], None, ("7", "8", "9"), [2, 0, 2]),
        (["9", "7", "9"], None, ("7", "8", "9"), [2, 0, 2]),
    ],
)
def test_evaluation_labels_are_encoded_by_the_class_names_of_the_model(labels, names, known, expected):
    data = {"test": (IMAGES[:3], labels)} | ({"class_names": names} if names else {})
    found, pools = read(data, known=known)
    assert found == known
    assert pools["test"].labels.tolist() == expected


@pytest.mark.parametrize(
    ("labels", "names", "words"),
    [
        (["bee", "dog", "bee"], None, "model has no class 'dog'; it has 'cat', 'ant', 'bee'"),
        ([0, 3, 1], None, "model has no class 3;"),
        ([0, 1, 0], ["cat", "dog"], "model has no class 'dog';"),
        (np.eye(2)[[0, 1, 0]], None, "one-hot labels have 2 columns, the model has 3 classes"),
    ],
)
def test_class_unknown_to_the_model_raises(labels, names, words):
    data = {"test": (IMAGES[:3], labels)} | ({"class_names": names} if names else {})
    with pytest.raises(DataError, match=words):
        read(data, known=KNOWN)

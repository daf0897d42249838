"""Arrays as people have them: what is taken, and what is refused with a reason."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cnnrecipes.data.arrays import as_images, read
from cnnrecipes.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 7, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3


@pytest.mark.parametrize("view", [np.s_[:], np.s_[:, ::-1], np.s_[2:9, :5], np.s_[..., 0]])
def test_bytes_are_never_copied(view):
    array = as_images(IMAGES[view], "the images")
    assert np.shares_memory(array, IMAGES)
    np.testing.assert_array_equal(array.reshape(IMAGES[view].shape), IMAGES[view])


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "float16", "float32", "float64"])
def test_whole_numbers_of_any_type_keep_their_values(dtype):
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
def test_labels_become_numbers_of_their_names(labels, names):
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


def test_one_numbering_holds_for_all_splits():
    words = np.array(["cat", "ant", "bee"])[LABELS]
    class_names, pools = read({"train": (IMAGES, words), "test": (IMAGES[:2], ["bee", "cat"])})
    assert [class_names[label] for label in pools["test"].labels] == ["bee", "cat"]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([IMAGES[0], IMAGES[0, :5]] * 6, "shape"),
        (np.where(IMAGES > 9, IMAGES, np.nan), "nan.*0..255"),
        (np.where(IMAGES > 9, IMAGES, np.inf), "inf.*0..255"),
        (IMAGES > 9, "bool.*0..255"),
        (IMAGES.astype(np.int16) - 1, "-1..254.*0..255"),
        (IMAGES[:0], r"\(0, 8, 7, 3\)"),
        (np.moveaxis(IMAGES, -1, 1), r"\(12, 3, 8, 7\).*\(N, H, W, C\)"),
        (None, "images.*shape"),
    ],
)
def test_images_that_do_not_fit_are_explained(images, words):
    with pytest.raises(DataError, match=words):
        read((images, LABELS))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([[0], [1, 2]] * 6, "labels"),
        (3, r"\(\).*\(N,\)"),
        (LABELS + 0.5, "float64.*integers"),
        ([None, 1, 2] * 4, "object.*integers"),
        (LABELS == 1, "bool.*integers"),
    ],
)
def test_labels_that_do_not_fit_are_explained(labels, words):
    with pytest.raises(DataError, match=words):
        read((IMAGES, labels))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (7, r"int.*data=\(images, labels\)"),
        ((IMAGES, LABELS, LABELS), r"tuple.*data=\(images, labels\)"),
        (((IMAGES, LABELS), (IMAGES, LABELS)), "."),
        ({"train": (IMAGES, LABELS), "class_names": 3}, "class_names.*3"),
        ({"train": (IMAGES, LABELS - 1), "class_names": list("abc")}, "-1.*3 class names.*0..2"),
        ({"train": (IMAGES, LABELS * 2), "class_names": list("abc")}, "4.*3 class names"),
        ({"train": (IMAGES, list("abd") * 4), "class_names": list("abc")}, "'d'.*3 class names"),
        ({"train": (IMAGES, LABELS), "validation": (IMAGES, list("abc") * 4)}, "validation|label"),
        ({"train": (IMAGES, LABELS), "validation": (IMAGES[..., :1], LABELS)}, r"differ.*\(8, 7, 3\).*\(8, 7, 1\)"),
    ],
)
def test_data_that_does_not_fit_is_explained(data, words):
    with pytest.raises(DataError, match=words):
        read(data)

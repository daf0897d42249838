"""Predictions: losses, parts, and the file predictions.parquet, whole and damaged."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from made_predictions import drawn, predictions_of
from scipy.special import log_softmax, softmax

from cnnrecipes.errors import RunError, WriteError
from cnnrecipes.runs.evaluation import _probabilities
from cnnrecipes.runs.predictions import FILE, Predictions, read_predictions, write_predictions

ODD = ("<script>", "a|b\n\x1b[2J", "עברית", "caf\udce9", "x" * 200)


def assert_same(one: Predictions, other: Predictions) -> None:
    for name in ("split", "class_names", "files", "groups", "images"):
        assert getattr(one, name) == getattr(other, name)
    for name in ("positions", "truth", "probabilities"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_file_has_all_predictions(tmp_path):
    written = [
        drawn(40, 5, split="validation", names=ODD, groups=[f"g{i % 3}" for i in range(40)]),
        drawn(30, 5, split="test", names=ODD, seed=1),
    ]
    write_predictions(tmp_path / FILE, written)
    found = read_predictions(tmp_path / FILE)
    assert list(found) == ["validation", "test"]
    for one in written:
        assert_same(found[one.split], one)
        assert found[one.split].probabilities.dtype == np.float32
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_pandas_reads_the_file(tmp_path):
    one = drawn(12, 3, split="validation")
    write_predictions(tmp_path / FILE, [one])
    table = pd.read_parquet(tmp_path / FILE)
    assert list(table) == ["split", "file", "position", "truth", "group", "probabilities"]
    assert table["file"].tolist() == list(one.files)
    np.testing.assert_array_equal(np.stack(table["probabilities"]), one.probabilities)


def _damaged(path, how):
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = bytes(byte ^ 255 for byte in content[middle : middle + 16])
    path.write_bytes(
        {
            "truncated": content[:middle],
            "flipped": content[:middle] + flipped + content[middle + 16 :],
            "empty": b"",
            "text": b"no table",
        }[how]
    )


@pytest.mark.parametrize("how", ["truncated", "flipped", "empty", "text"])
def test_damaged_file_raises_with_its_name(tmp_path, how):
    path = tmp_path / FILE
    write_predictions(path, [drawn(500, 10)])
    _damaged(path, how)
    with pytest.raises(RunError, match=r"cannot read .*predictions\.parquet.*evaluate"):
        read_predictions(path)


def test_table_of_another_program_is_refused(tmp_path):
    pd.DataFrame({"file": ["a"], "truth": [0]}).to_parquet(tmp_path / FILE)
    with pytest.raises(RunError, match=r"cannot read .*predictions\.parquet"):
        read_predictions(tmp_path / FILE)


def test_label_that_is_no_class_is_refused(tmp_path):
    write_predictions(tmp_path / FILE, [predictions_of([[0.5, 0.5]], [7])])
    with pytest.raises(RunError, match="not the number of a class"):
        read_predictions(tmp_path / FILE)


def test_missing_folder_is_a_write_error(tmp_path):
    with pytest.raises(WriteError, match=r"predictions\.parquet.*create the folder"):
        write_predictions(tmp_path / "none" / FILE, [drawn(5, 2)])


def test_losses_are_those_of_the_logits():
    """Also where float32 rounds a probability to 1."""
    logits = np.array([[1.0, 2, 3], [30, 0, 0], [0, 18, 0], [-40, 0, 1], [0, 400, 0]])
    truth = np.array([0, 0, 1, 0, 0])
    found = predictions_of(softmax(logits, axis=1), truth).losses
    expected = -log_softmax(logits, axis=1)[range(5), truth]
    np.testing.assert_allclose(found[:4], expected[:4], rtol=1e-6)
    assert found[4] == pytest.approx(103.3, abs=0.1)


def test_part_has_the_chosen_images_in_order():
    one = drawn(20, 3, groups=[str(i) for i in range(20)])
    part = one.part(np.array([7, 2]))
    assert (part.files, part.groups, len(part)) == (("train[7]", "train[2]"), ("7", "2"), 2)
    assert part.truth.tolist() == one.truth[[7, 2]].tolist()
    assert one.part(one.right).right.all()


def test_prediction_is_the_largest_logit_even_if_float32_probabilities_are_equal():
    logits = np.array([[0.001, np.nextafter(np.float32(0.001), np.float32(1)), -3.0], [5, 1, 2]], np.float64)
    logits[0, 0] = np.float32(0.001)
    assert softmax(logits, axis=1).astype(np.float32)[0].argmax() == 0
    found = _probabilities(logits)
    assert found.argmax(axis=1).tolist() == [1, 0]
    np.testing.assert_allclose(found, softmax(logits, axis=1), rtol=2e-7)


def test_metadata_is_json(tmp_path):
    from pyarrow import parquet

    write_predictions(tmp_path / FILE, [drawn(5, 2, names=("ant", "bee"))])
    about = json.loads(parquet.read_schema(tmp_path / FILE).metadata[b"cnnrecipes"])
    assert about == {
        "class_names": ["ant", "bee"],
        "splits": {"test": {"n": 5, "images": "digest", "groups": False}},
    }

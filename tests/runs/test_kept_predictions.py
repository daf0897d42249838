"""Predictions that a run keeps: equal to a new forward pass, read instead of it, and made where they are missing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.data.split_part import spread_part
from cnnrecipes.debug.split_predictions import kept_counts, predictions
from cnnrecipes.runs.classification_metrics import classification_metrics
from cnnrecipes.runs.evaluation import evaluate, images_digest, predict_split
from cnnrecipes.runs.predictions import FILE


@pytest.fixture(scope="module")
def source(digits_run):
    return open_source(None, digits_run.recipe.data)


@pytest.fixture
def copy(digits_run, tmp_path):
    """A copy of the run, which a test may change."""
    return cr.load(shutil.copytree(digits_run.folder, tmp_path / "run"))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_kept_predictions_equal_a_new_forward_pass(digits_run, source, split):
    kept, found = digits_run.predictions(split), predict_split(digits_run.artifact, source.split(split), source)
    np.testing.assert_array_equal(kept.probabilities, found.probabilities)
    np.testing.assert_array_equal(kept.truth, source.split(split).labels)
    np.testing.assert_array_equal(kept.positions, source.split(split).positions)
    assert (kept.files, kept.groups, kept.class_names) == (found.files, None, digits_run.class_names)
    assert kept.files[0] == f"train[{kept.positions[0]}]"
    assert kept.images == found.images == images_digest(source.split(split))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_metrics_are_those_of_the_kept_predictions(digits_run, split):
    recorded = digits_run.metrics[split]
    found = classification_metrics(digits_run.predictions(split), recorded["temperature"])
    assert found.pop("cross_entropy") == pytest.approx(recorded["cross_entropy"], rel=1e-6)
    assert found == {key: value for key, value in recorded.items() if key != "cross_entropy"}


def test_temperature_of_test_is_that_of_validation(digits_run):
    metrics = digits_run.metrics
    assert metrics["test"]["temperature"] == metrics["validation"]["temperature"]
    validation = metrics["validation"]
    assert validation["cross_entropy_scaled"] <= validation["cross_entropy"] + 1e-9


def test_evaluation_has_predictions_and_classes(digits_run):
    found = digits_run.evaluate()
    np.testing.assert_array_equal(found.predictions.probabilities, digits_run.predictions("test").probabilities)
    assert found.classes["n"].sum() == found["n"]
    assert found.classes["class"].tolist() == list(digits_run.class_names)


def test_views_have_predictions_of_their_own(digits_run):
    found = digits_run.evaluate(split="validation", tta="shift(1)")
    assert found["plain"] == digits_run.metrics["validation"]
    assert (found.predictions.probabilities != digits_run.predictions().probabilities).any()
    assert found["accuracy"] == found.predictions.right.mean()


def test_answers_are_read_without_the_model(copy):
    expected = copy.answers(split="validation").predicted
    for name in ("model.keras", "model.json"):
        (copy.folder / name).unlink()
    again = cr.load(copy.folder)
    np.testing.assert_array_equal(again.answers().predicted, expected)
    assert again.answers().split == "validation"
    images, labels = np.zeros((10, 8, 8), np.uint8), np.arange(10)
    with pytest.raises(cr.RunError, match=r"no model at"):  # other images need it
        again.answers({"validation": (images, labels)}, "validation")


def test_answers_of_other_images_are_predicted(digits_run):
    images, labels = np.zeros((10, 8, 8), np.uint8), np.arange(10)
    assert len(digits_run.answers({"validation": (images, labels)}, "validation")) == 10


def test_run_of_an_earlier_version_says_how_to_make_them(copy):
    (copy.folder / FILE).unlink()
    with pytest.raises(cr.RunError, match=r"no predictions\.parquet.*run\.evaluate\(split='validation'\)"):
        copy.predictions()
    found = copy.evaluate(split="validation")
    np.testing.assert_array_equal(copy.predictions().probabilities, found.predictions.probabilities)
    with pytest.raises(cr.RunError, match=r"of validation, not of 'test'; `run\.evaluate\(split='test'\)"):
        copy.predictions("test")
    copy.evaluate()
    assert set(copy.kept_predictions()) == {"validation", "test"}


def test_evaluation_of_other_data_or_with_views_keeps_nothing(copy):
    (copy.folder / FILE).unlink()
    copy.evaluate((np.zeros((10, 8, 8), np.uint8), np.arange(10)))
    copy.evaluate(split="validation", tta="shift(1)")
    copy.evaluate(split="train")
    assert not (copy.folder / FILE).exists()


def test_damaged_file_is_said_and_replaced(copy):
    (copy.folder / FILE).write_bytes(b"PAR1 no table")
    with pytest.raises(cr.RunError, match=r"cannot read .*predictions\.parquet"):
        copy.predictions()
    with pytest.warns(cr.CNNRecipesWarning, match=r"cannot read .*predictions\.parquet"):
        answers = copy.answers()
    copy.evaluate(split="validation")
    np.testing.assert_array_equal(copy.predictions().probabilities, answers.probabilities)


def test_damaged_metrics_do_not_stop_an_evaluation(copy):
    (copy.folder / "metrics.json").write_text("{")
    assert copy.evaluate(split="validation")["n"] == 179
    (copy.folder / "metrics.json").unlink()
    assert copy.kept_predictions() == {}  # of a run that is not finished


def test_unknown_split_is_named(digits_run):
    with pytest.raises(cr.RunError, match="validation and test, not of 'train'"):
        digits_run.predictions("train")


@pytest.mark.parametrize("images", [50, 1000])
def test_diagnosis_counts_kept_predictions_as_those_of_a_forward_pass(digits_run, source, images):
    kept = kept_counts(digits_run.predictions(), images)
    found = predictions(digits_run.artifact, spread_part(source.split("validation"), images))
    assert (kept.images, kept.predicted, kept.correct) == (found.images, found.predicted, found.correct)
    assert kept.cross_entropy == pytest.approx(found.cross_entropy, rel=1e-6)


def test_groups_of_the_data_are_kept(digits_run, source):
    split = source.split("validation")
    grouped = replace(split, groups=np.arange(len(split)) // 10)
    found = evaluate(digits_run.artifact, grouped, source=source)
    assert found.predictions.groups[:11] == ("0",) * 10 + ("1",)
    assert found["groups"] == 18
    assert found["accuracy"] == digits_run.metrics["validation"]["accuracy"]


def test_model_json_has_the_number_of_images(digits_run):
    about = json.loads((digits_run.folder / "model.json").read_text())
    assert about["images"] == {"train": 1259, "validation": 179, "test": 359}

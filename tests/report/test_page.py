"""The page of a run in all states, as HTML; in a browser see test_browser.py."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from page_document import Document, document, squeezed
from PIL import Image
from small_run import HOSTILE, predictions, write_run

import cnnrecipes as cr
from cnnrecipes.errors import RunError, WriteError
from cnnrecipes.report.page import FAILED, SECTIONS
from cnnrecipes.report.writing import write_page_during_training

OLD = Path(__file__).parents[1] / "data_files" / "run_before_train_state" / "run"


@pytest.fixture(scope="module")
def of_digits(digits_run, tmp_path_factory) -> Document:
    """The whole report of a real run, with Grad-CAM."""
    return document(digits_run, path=tmp_path_factory.mktemp("reports") / "digits.html")


def test_report_begins_with_the_answer(of_digits, digits_run):
    test = digits_run.metrics["test"]
    text = squeezed(of_digits.text)
    assert f"{test['accuracy']:.1%} right on {test['n']:,} test images" in text
    low, high = test["accuracy_95"]
    assert f"95% interval {low:.1%} to {high:.1%}" in text
    assert f"resnet8 ({digits_run.metrics['parameters']:,} parameters) was trained on" in text
    assert "training images of digits in 10 classes, 8 \u00d7 8 pixels." in text
    assert of_digits.sections[:4] == ["answer", "curves", "batch", "classes"]


def test_report_of_a_real_run_has_all_sections_but_those_of_other_commands(of_digits):
    other = {"robustness", "label-issues", "embedding", "layers"}
    keys = [key for key, _, _ in SECTIONS]
    assert [key for key in of_digits.sections if key != "layers"] == [
        *(key for key in keys if key not in other),
        "missing",
    ]
    for command in ("label-issues", "explain", "profile"):
        assert f"cnnrecipes {command} " in of_digits.text


def test_top_losses_have_pictures_with_grad_cam(of_digits):
    images = [attributes for tag, attributes in of_digits.elements if tag == "img"]
    cards = [attributes for tag, attributes in of_digits.elements if attributes.get("class") == "card"]
    assert len(cards) == 24
    assert sum(attributes.get("class") == "heat" for attributes in images) == 24
    assert all(attributes["src"].startswith("data:image/png;base64,") for attributes in images)
    assert all("alt" in attributes for attributes in images)


def test_fit_writes_the_report(digits_run):
    found = Document((digits_run.folder / "report.html").read_text(encoding="utf-8"))
    assert "right on" in found.text
    assert FAILED not in found.text
    assert found.count("img") >= 24  # top losses; a short training has no Grad-CAM and no batch


def test_reproduction_has_recipe_and_environment(of_digits):
    assert 'name = "resnet8_digits"' in of_digits.text
    assert "cnnrecipes fit " in of_digits.text
    assert "tensorflow" in of_digits.text


def test_run_without_test_split_says_that_the_validation_is_biased(tmp_path):
    found = document(write_run(tmp_path / "run", kept=[predictions("validation")]))
    assert "There is no test split." in squeezed(found.text)
    assert "right on 120 validation images" in squeezed(found.text)
    assert "temperature" not in found.text


def test_temperature_is_fitted_on_the_validation_split(tmp_path):
    kept = [predictions("validation", seed=1), predictions("test")]
    text = squeezed(document(write_run(tmp_path / "run", kept=kept)).text)
    assert "The temperature was fitted on the validation split." in text
    assert re.search(r"as trained: expected calibration error [\d.]+%; temperature [\d.]+: expected", text)
    assert "The confidences were chosen on the validation split, and measured on the test split." in text


def test_run_of_one_epoch(tmp_path):
    run = write_run(tmp_path / "run", epochs=1, kept=[predictions("validation")], **{"train.epochs": 1})
    found = document(run)
    assert "Finished: 1 epoch in 2 s; the weights of epoch 1 are saved." in squeezed(found.text)
    assert {"curves", "schedule"} <= set(found.sections)


def test_interrupted_run_has_curves_and_the_command_to_resume(tmp_path):
    run = write_run(tmp_path / "run", epochs=3, watch=5)
    found = document(run)
    assert "Not finished: 3 of 6 epochs." in found.text
    assert f"cnnrecipes resume {run.folder}" in found.text
    assert {"curves", "layers", "schedule"} <= set(found.sections)
    assert not {"classes", "confusion", "losses"} & set(found.sections)
    assert "the training is not finished" in found.text


def test_run_that_diverged_in_the_first_epoch(tmp_path):
    run = write_run(tmp_path / "run", epochs=0)
    record = {"epoch": 1, "step": 7, "loss": "nan", "learning_rate": 10.0}
    (run.folder / "failure.json").write_text(json.dumps(record))
    found = document(run)
    assert "the loss became nan at step 7" in found.text
    assert "curves" not in found.sections


def test_logistic_regression_has_no_epochs(tmp_path):
    changes = {
        "transfer.how": "features",
        "transfer.head": "logistic",
        "model.name": "mobilenet_v2",
        "model.weights": "imagenet",
    }
    run = write_run(tmp_path / "run", epochs=0, kept=[predictions("validation")], **changes)
    found = document(run)
    assert "Finished: logistic regression on frozen features." in squeezed(found.text)
    assert "which has no epochs" in found.text


def test_two_validation_images(tmp_path):
    found = document(write_run(tmp_path / "run", kept=[predictions("validation", n=2)]))
    assert "2 images are too few to measure probabilities" in found.text
    assert "right on 2 validation images" in squeezed(found.text)


def test_thousand_classes_are_drawn_and_stay_small(tmp_path):
    names = [f"class {number}" for number in range(1000)]
    run = write_run(tmp_path / "run", class_names=names, kept=[predictions("test", names, n=10_000)], watch=150)
    found = document(run)
    assert found.count("canvas") == 1
    assert found.count("tr") > 1000
    text = (run.folder / "report.html").read_text(encoding="utf-8")
    drawn = json.loads(re.search(r'<script type="application/json">(.*?)</script>', text, re.S)[1])
    assert sum(n for _, _, n in drawn["cells"]) == 10_000
    assert "30 layers are not shown" in found.text


def test_names_are_text(tmp_path):
    run = write_run(tmp_path / "run", class_names=HOSTILE, kept=[predictions("test", HOSTILE)])
    found = document(run)
    text = (run.folder / "report.html").read_text(encoding="utf-8")
    assert found.count("script") == 1
    assert found.count("img") == 0
    assert "\u202e" not in text
    assert "reversed \\u202e name" in found.text
    assert "</td></table>{{ 7 * 7 }}" in found.text
    assert HOSTILE[0] in found.text


def test_hostile_names_of_many_classes_stay_inside_of_the_json(tmp_path):
    names = [f"{HOSTILE[0]}{number}" for number in range(30)]
    run = write_run(tmp_path / "run", class_names=names, kept=[predictions("test", names)])
    assert document(run).count("script") == 2  # the page's, and the data of the matrix
    text = (run.folder / "report.html").read_text(encoding="utf-8")
    drawn = re.search(r'<script type="application/json">(.*?)</script>', text, re.S)[1]
    assert sorted(json.loads(drawn)["names"]) == sorted(names)


def test_old_run_without_predictions_has_a_report(tmp_path):
    run = cr.Run.open(shutil.copytree(OLD, tmp_path / "old"))
    found = document(run)
    assert "there is no predictions.parquet" in found.text
    assert {"answer", "curves", "reproduce"} <= set(found.sections)


def test_moved_data_leave_the_rest(tmp_path):
    run = write_run(tmp_path / "run", kept=[predictions()], **{"data.name": str(tmp_path / "moved")})
    found = document(run)
    assert "The pictures are missing:" in found.text
    assert str(tmp_path / "moved") in found.text
    assert found.count("img") == 0
    assert {"classes", "confusion", "losses"} <= set(found.sections)


def test_data_of_other_classes_are_named(tmp_path):
    for name in ("dog", "eel"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(4):
            pixels = np.full((8, 8, 3), 40 * number + (name == "dog"), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    run = write_run(tmp_path / "run", kept=[predictions()], **{"data.name": str(tmp_path / "photos")})
    found = document(run)
    assert "has the classes 'dog', 'eel'; the model has 'ant', 'bee', 'cat'" in found.text
    assert found.count("img") == 0


def test_pictures_can_be_left_out(tmp_path):
    found = document(write_run(tmp_path / "run", kept=[predictions()]), pictures=False)
    assert "pictures were not asked for" in found.text


def test_computed_tables_are_shown(tmp_path):
    run = write_run(tmp_path / "run", kept=[predictions()])
    rows = [
        ("none", 0, 0.9, 120),
        ("blur", 1, 0.8, 120),
        ("blur", 5, 0.4, 120),
        ("noise", 1, 0.7, 120),
        ("noise", 5, 0.2, 120),
    ]
    pd.DataFrame(rows, columns=["corruption", "strength", "accuracy", "n"]).to_csv(
        run.folder / "robustness.csv", index=False
    )
    issues = pd.DataFrame(
        [("ant/1.png", 1, "ant", "bee", 0.93)], columns=["file", "position", "given", "suggested", "score"]
    )
    issues.to_csv(run.folder / "label_issues.csv", index=False)
    found = document(run)
    assert "robustness" in found.sections
    assert found.text.index("noise") < found.text.index("blur")
    assert "Without corruption it is 90.0%." in squeezed(found.text)
    assert "Likely label errors" in found.text


def test_damaged_files_are_reasons(tmp_path):
    run = write_run(tmp_path / "run", kept=[predictions()])
    for name in ("predictions.parquet", "history.csv", "environment.json"):
        (run.folder / name).write_text("damaged")
    found = document(run)
    assert found.text.count("cannot read") >= 2
    assert "answer" in found.sections


def test_page_during_a_training_tells_its_progress_and_reloads(tmp_path):
    run = write_run(tmp_path / "run", epochs=30, watch=60, **{"train.epochs": 100})
    write_page_during_training(run, None)
    found = Document((run.folder / "report.html").read_text(encoding="utf-8"))
    assert "Training: 30 of 100 epochs done in 60 s." in squeezed(found.text)
    assert any(attributes.get("id") == "again" for _, attributes in found.elements)
    assert FAILED not in found.text


def test_charts_have_names_for_screen_readers(of_digits):
    charts = [attributes for tag, attributes in of_digits.elements if tag == "svg" and attributes.get("role") == "img"]
    assert len(charts) >= 5
    ids = {attributes.get("id") for _, attributes in of_digits.elements}
    for attributes in charts:
        assert set(attributes["aria-labelledby"].split()) <= ids


def test_no_run_folder_and_no_place_to_write_are_errors(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        cr.write_report(tmp_path)
    run = write_run(tmp_path / "run")
    with pytest.raises(WriteError):
        cr.write_report(run, path=tmp_path / "missing" / "report.html")


def test_run_methods_show_inline(digits_run, tmp_path):
    run = cr.Run.open(shutil.copytree(digits_run.folder, tmp_path / "run"))
    shown = run.report(pictures=False)
    assert shown.path == run.folder / "report.html"
    assert shown._repr_html_().startswith("<iframe")
    confused = run.plot_confusion("test")
    assert list(confused.table.columns) == ["truth", "predicted", "n", "share"]
    assert "matrix" in confused.document
    lost = run.top_losses("test", n=3)
    assert len(lost.table) == 3
    assert Document(lost.document).count("img") == 6


def test_page_tells_that_the_start_of_a_fine_tuning_was_kept(tmp_path):
    run = write_run(tmp_path / "run", kept=[predictions("validation")])
    metrics = json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))
    (run.folder / "metrics.json").write_text(json.dumps({**metrics, "epoch": 0}), encoding="utf-8")
    text = document(run, pictures=False).text
    assert "no epoch was better than the start, which is saved" in text
    assert "vertical line" not in text

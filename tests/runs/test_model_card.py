"""The model card: its metadata parsed as YAML, its facts, names that are markup, and what is missing."""

from __future__ import annotations

import json
import re

import pytest
from made_predictions import drawn
from markdown_it import MarkdownIt

from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs.classification_metrics import classification_metrics
from cnnrecipes.runs.model_card import data_name, model_card

ODD = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a|b",
    "\x1b[2J\u202ereversed",
    "*bold* www.x.com",
)
LONG = ("עברית", "x" * 200, "`code`", "[link](http://x.com)", "a@b.com")


def recipe(**changes) -> Recipe:
    tables = {"name": "digits", "data": {"name": "digits"}, "model": {"name": "resnet8"}, "train": {"epochs": 3}}
    return Recipe.from_dict(tables, "test").change(**changes)


def card(tmp_path, predictions, *, names=None, temperature=None, **changes) -> str:
    """The card of a run with these predictions of one split."""
    names = list(names or predictions.class_names)
    about = {
        "class_names": names,
        "input_shape": [8, 8, 1],
        "images": {"train": 1000, predictions.split: len(predictions)},
    }
    (tmp_path / "model.json").write_text(json.dumps(about))
    metrics = {"epoch": 2, predictions.split: classification_metrics(predictions, temperature)}
    metrics |= {"parameters": 75_000, "trainable_parameters": 75_000}
    return model_card(tmp_path, recipe(**changes), metrics, {predictions.split: predictions})


def metadata(text: str) -> dict:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(text.split("---\n")[1])


def html_of(text: str) -> str:
    """The card as HTML, by a parser that lets HTML through."""
    body = text.split("---\n", 2)[2]
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(body)


def test_metadata_is_that_of_hugging_face(tmp_path):
    predictions = drawn(500, 10)
    found = metadata(card(tmp_path, predictions))
    assert found["library_name"] == "keras"
    assert found["pipeline_tag"] == "image-classification"
    assert found["tags"] == ["image-classification", "cnnrecipes", "resnet8"]
    assert found["metrics"] == ["accuracy"]
    (model,) = found["model-index"]
    (result,) = model["results"]
    assert result["task"] == {"type": "image-classification"}
    assert result["dataset"] == {"name": "digits", "type": "digits", "split": "test"}
    values = {one["name"]: one["value"] for one in result["metrics"]}
    assert values["accuracy"] == pytest.approx(predictions.right.mean(), abs=1e-6)
    assert set(values) == {"accuracy", "macro F1", "top-5 accuracy", "Brier score"}


def test_card_of_a_run(digits_run):
    text = (digits_run.folder / "README.md").read_text(encoding="utf-8")
    test = digits_run.metrics["test"]
    assert metadata(text)["model-index"][0]["results"][0]["metrics"][0]["value"] == pytest.approx(test["accuracy"])
    assert f"It is right on {test['accuracy']:.1%} of 359 test images" in text
    assert "| train | 1,259 |" in text
    assert "images (N, 8, 8, 1)" in text
    assert "### Test results by class" in text
    assert len(re.findall(r"^\| [0-9] \|", text, re.M)) == 10
    assert "- epochs (kept): 6 (" in text
    assert "cnnrecipes fit recipe.toml" in text
    assert str(digits_run.folder) not in text


def test_odd_names_are_text(tmp_path):
    html = html_of(card(tmp_path, drawn(200, 10, names=ODD + LONG), names=ODD + LONG))
    assert not re.search(r"<(script|img|a|strong|em)\b", html)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<td>a|b</td>" in html.replace(' style="text-align:left"', "")
    assert r"\x1b[2J\u202ereversed" in html
    assert "*bold*" in html
    assert "עברית" in html
    assert "x" * 200 in html
    rows = re.findall(r"<tr>(.*?)</tr>", html[html.index("results by class") :], re.S)
    assert all(row.count("<td") == 5 for row in rows[1:11])


def test_odd_names_of_data_and_recipe_are_text(tmp_path):
    predictions = drawn(50, 3)
    text = card(tmp_path, predictions, **{"data.name": 'my "data" <b>: #1'})
    assert metadata(text)["model-index"][0]["results"][0]["dataset"]["name"] == 'my "data" <b>: #1'
    assert "<b>" not in html_of(text)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("/home/me/photos", "photos"), ("./photos/", "photos"), ("cifar10", "cifar10"), ("stripes/8", "stripes/8"),
     ("https://user:secret@host/a/pets.zip?token=1", "pets.zip"), ("~/x/pets", "pets")],
)  # fmt: skip
def test_name_of_the_data_has_no_folder_of_this_machine(name, shown):
    assert data_name(recipe(**{"data.name": name})) == shown


def test_many_classes_show_the_worst(tmp_path):
    text = card(tmp_path, drawn(5000, 200))
    table = text[text.index("### Test results") : text.index("## Limits")]
    assert "of the 50 classes of the lowest recall, of 200" in table
    assert len(re.findall(r"^\| c\d", table, re.M)) == 50
    assert "(150 more)" in text


def test_limits_are_facts(tmp_path):
    few = drawn(12, 40, split="validation", groups=[f"g{i // 3}" for i in range(12)])
    text = card(tmp_path, few, temperature=1.7)
    for words in (
        "There is no test split", "measured on 12 images only", "The lowest recall is that of", "has no images of c",
        "in 4 groups", "too sure of itself: divide its logits by 1.70",
    ):  # fmt: skip
        assert words in text
    plain = card(tmp_path, drawn(5000, 3))
    for words in ("There is no test split", "images only", "has no images of", "groups", "divide its logits"):
        assert words not in plain


def test_card_of_a_run_without_held_out_images(tmp_path):
    text = model_card(tmp_path, recipe(), {"epoch": 3}, {})
    assert "model-index" not in metadata(text)
    assert "It was not measured" in text
    assert "## Results" not in text


def test_card_of_a_trial_has_its_few_metrics(tmp_path):
    """A search keeps no predictions of its trials, and measures accuracy and cross entropy only."""
    metrics = {"accuracy": 0.5, "accuracy_95": [0.4, 0.6], "cross_entropy": 1.0, "n": 100, "split": "validation"}
    text = model_card(tmp_path, recipe(), {"epoch": 3, "validation": metrics}, {})
    assert "| accuracy (95% interval) | 50.0% (40.0% to 60.0%) |" in text
    assert "by class" not in text

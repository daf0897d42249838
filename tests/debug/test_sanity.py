"""`sanity` and its command: all checks of a training before the first step."""

from __future__ import annotations

import json
import random
import sys

import keras
import numpy as np
import pytest
from broken_models import IMAGES, SMALL, network

import cnnrecipes as cr
from cnnrecipes.cli import app
from cnnrecipes.errors import DataError, ModelError, TrainingError

NAMES = (
    "class sizes",
    "copies",
    "labels agree with folders",
    "labels fit images",
    "inputs",
    "augmentation",
    "loss",
    "logits",
    "normalization",
    "dead activations",
    "gradients",
    "frozen layers",
    "output depends on input",
    "samples are independent",
    "initial loss",
    "first step",
    "evaluation equals prediction",
)


@pytest.fixture(scope="module")
def report():
    changes = {"train.label_smoothing": 0.1, "train.loss": "focal", "optimizer.ema": 0.9}
    return cr.sanity("resnet8_digits", SMALL, **changes)


def test_healthy_recipe_passes_every_check(report):
    assert tuple(check.name for check in report.checks) == NAMES
    assert {check.status for check in report.checks} == {"ok", "cannot tell"}
    assert report.passed
    assert report.conclusion == "Ready to train: 16 of 17 checks are ok, 1 cannot tell (labels agree with folders)."


def test_report_is_json(report):
    document = json.loads(json.dumps(report.to_dict()))
    assert document["passed"] is True
    assert document["checks"][0].keys() == {"name", "status", "measured", "remedy"}
    assert "labels fit images" in str(report)


def test_inputs_of_a_rare_class_do_not_count_as_much_as_those_of_a_common_one():
    rare = np.arange(1200) % 30 == 0
    images = np.where(rare[:, None, None, None], 255 - IMAGES[:1200] // 4, IMAGES[:1200] // 4)
    checks = {one.name: one for one in cr.sanity("resnet8_digits", (images, rare.astype(int))).checks}
    assert checks["inputs"].status == "ok"
    assert checks["augmentation"].status == "ok"
    assert checks["labels fit images"].status in ("ok", "cannot tell")


def test_given_model_is_not_changed():
    keras.utils.set_random_seed(3)
    random.random()
    model = network(middle=keras.layers.Dropout(0.5))
    model.compile("adam")
    model.get_layer("conv1").trainable = False
    before = [variable.numpy() for variable in model.variables]
    states = random.getstate(), np.random.get_state()[1].tolist()
    report = cr.sanity("resnet8_digits", SMALL, model=model)
    assert report.passed
    assert "1 warning (frozen layers)" in report.conclusion
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, model.variables, strict=True))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    assert not model.get_layer("conv1").trainable
    assert model.get_layer("conv1").name == "conv1"
    assert isinstance(model.optimizer, keras.optimizers.Adam)


def test_broken_model_fails_in_its_checks():
    report = cr.sanity("resnet8_digits", SMALL, model=network(norm=None, bias=-100.0, last="softmax"))
    assert not report.passed
    failed = [check.name for check in report.checks if check.failed]
    assert failed[:3] == ["logits", "dead activations", "gradients"]
    assert report.conclusion.startswith("FAIL: ")
    assert "logits, dead activations, gradients" in report.conclusion


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (lambda: network(classes=3), ModelError, "the data has 10 classes"),
        (lambda: network(middle=keras.layers.Lambda(lambda x: x / 0.0, name="div")), TrainingError, "'div'"),
    ],
)
def test_model_that_cannot_train_raises(model, error, message):
    with pytest.raises(error, match=message):
        cr.sanity("resnet8_digits", SMALL, model=model())


def test_one_class_raises():
    with pytest.raises(DataError, match="at least two classes"):
        cr.sanity("resnet8_digits", (SMALL[0], np.zeros(300, int)))


def test_command_prints_json_and_its_exit_status(monkeypatch, capsys, report):
    def sanity(recipe, data, **options):
        assert options == {"seed": 4, "progress": True, "train.epochs": 7}
        return report

    monkeypatch.setattr(cr, "sanity", sanity)
    monkeypatch.setattr(sys, "argv", ["cnnrecipes", "sanity", "resnet8_digits", "train.epochs=7", "--seed=4", "--json"])
    with pytest.raises(SystemExit) as caught:
        app.main()
    assert not caught.value.code
    assert json.loads(capsys.readouterr().out)["conclusion"] == report.conclusion


def test_command_prints_a_table_and_fails_with_status_1(monkeypatch, capsys):
    failed = cr.debug.sanity.SanityReport(
        "it", (cr.debug.checks.check.Check("loss", "FAIL", "too high", "lower it"),), 1.0
    )
    monkeypatch.setattr(cr, "sanity", lambda *_, **__: failed)
    monkeypatch.setattr(sys, "argv", ["cnnrecipes", "sanity", "resnet8_digits"])
    with pytest.raises(SystemExit) as caught:
        app.main()
    assert caught.value.code == 1
    out = capsys.readouterr().out
    assert "-> lower it" in out
    assert "FAIL: 1 of 1 check failed (loss); fix that first." in out

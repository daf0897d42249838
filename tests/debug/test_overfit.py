"""`overfit` and its command: memorizing a few images, the floor of a loss, and invalid arguments."""

from __future__ import annotations

import json
import sys

import keras
import numpy as np
import pytest
from adaptation import SMALL as TRANSFER
from adaptation import pretrain
from broken_models import SMALL, network

import cnnrecipes as cr
from cnnrecipes.cli import app
from cnnrecipes.debug.examples import balanced_positions
from cnnrecipes.errors import DataError, TrainingError, UnknownNameError


@pytest.fixture(scope="module")
def result():
    return cr.overfit("resnet8_digits", SMALL, model=network(), seed=1)


def test_result_has_losses_and_says_what_is_off(result):
    assert result.passed
    assert result.causes == []
    assert len(result.losses) == result.steps
    assert result.losses[-1] == result.loss < 0.01 * result.uniform
    assert result.switched_off == ("augmentation (pad_crop(1))", "weight decay (0.0005)", "shuffling and validation")
    assert str(result).startswith("PASS: 20 images of 10 classes memorized, training loss 2.")


def test_same_seed_gives_the_same_losses(result):
    again = cr.overfit("resnet8_digits", SMALL, model=network(), seed=1, steps=3)
    np.testing.assert_allclose(again.losses, result.losses[:3], rtol=1e-3)
    assert not again.passed
    assert "No check found the cause" in str(again)


def test_floor_of_kept_label_smoothing_is_reported():
    smoothed = cr.overfit(
        "resnet8_digits", SMALL, model=network(), keep="label_smoothing", **{"train.label_smoothing": 0.1}
    )
    assert smoothed.passed
    assert smoothed.floor == pytest.approx(0.5003, abs=1e-3)
    assert "(floor 0.500)" in str(smoothed)
    assert not [what for what in smoothed.switched_off if "smoothing" in what]


def test_given_model_is_not_changed_and_its_dropout_is_off():
    model = network(middle=keras.layers.Dropout(0.9, name="drop"))
    before = [variable.numpy() for variable in model.variables]
    result = cr.overfit("resnet8_digits", SMALL, model=model, steps=3)
    assert "dropout (1 layers)" in result.switched_off
    assert model.get_layer("drop").rate == 0.9
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, model.variables, strict=True))


@pytest.mark.parametrize("how", ["features", "finetune", "lora"])
def test_transfer_learning_passes(how, pretrained):
    start = {"train.start_from": str(pretrained.folder), "optimizer.learning_rate": 0.001}
    changes = {**TRANSFER, "transfer.how": how, **start}
    data = (np.repeat(SMALL[0], 3, axis=3).repeat(2, axis=1).repeat(2, axis=2), SMALL[1] % 2)
    if how != "features":
        report = cr.sanity("resnet20_cifar", data, **changes)
        assert report.passed, str(report)
    if how != "lora":
        result = cr.overfit("resnet20_cifar", data, images=8, **changes)
        assert result.passed, str(result)
        (frozen,) = [check.measured for check in result.checks if check.name == "frozen layers"]
        assert frozen.startswith("the whole backbone; the head alone is trained" if how == "features" else "none")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A net as wide as resnet8: a narrower one does not memorize the images."""
    resnet8 = {"model.depths": (1, 1, 1), "model.widths": (16, 32, 64)}
    return pretrain(tmp_path_factory.mktemp("pretrained"), **resnet8)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"images": 0}, DataError, "images = 0"),
        ({"images": 1}, DataError, "images = 1"),
        ({"images": 5000}, DataError, "images = 5000, and the training split has 2"),
        ({"steps": 0}, DataError, "steps = 0"),
        ({"keep": "mixup"}, UnknownNameError, "unknown regularization to keep 'mixup'"),
        ({"model": network(middle=keras.layers.Lambda(lambda x: x / 0.0, name="div"))}, TrainingError, "'div'"),
    ],
)
def test_invalid_arguments_raise(options, error, message):
    with pytest.raises(error, match=message):
        cr.overfit("resnet8_digits", SMALL, **options)


def test_positions_are_balanced_and_filled_up_from_other_classes():
    labels = np.repeat([0, 1, 2], [50, 40, 2])
    chosen = balanced_positions(labels, 12)
    assert np.bincount(labels[chosen]).tolist() == [5, 5, 2]
    assert len(set(chosen.tolist())) == 12
    many = np.repeat(np.arange(100), 5)
    assert sorted(np.unique(many[balanced_positions(many, 20)], return_counts=True)[1].tolist()) == [2] * 10
    assert len(balanced_positions(np.repeat([0, 1], [1, 30]), 10)) == 10


def test_command_prints_the_verdict_and_fails_with_status_1(monkeypatch, capsys, result):
    def overfit(recipe, data, **options):
        assert options["images"] == 8
        assert options["keep"] == ["dropout"]
        return result

    monkeypatch.setattr(cr, "overfit", overfit)
    arguments = ["cnnrecipes", "overfit", "resnet8_digits", "--images", "8", "--keep", "dropout"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as caught:
        app.main()
    out = capsys.readouterr().out
    assert not caught.value.code
    assert out.startswith("off for this experiment: augmentation (pad_crop(1)), weight decay")
    assert out.splitlines()[-1].startswith("PASS: ")
    monkeypatch.setattr(sys, "argv", [*arguments, "--json"])
    with pytest.raises(SystemExit):
        app.main()
    assert json.loads(capsys.readouterr().out)["verdict"] == "PASS"

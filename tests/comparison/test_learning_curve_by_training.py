"""Learning curves by trainings: sizes, the command, and what is refused before any training."""

from __future__ import annotations

import json

import pytest

import cnnrecipes as cr
from cnnrecipes.comparison.learning_curve_by_training import _variant
from cnnrecipes.errors import DataError, RecipeError
from cnnrecipes.recipe import catalog

SMALL = {
    "train.epochs": 1,
    "data.batch_size": 16,
    "augment.ops": [],
    "optimizer.warmup": "0 epochs",
    "model.depths": [1],
    "model.widths": [16],
    "logging.loggers": [],
    "logging.watch": "off",
}


def test_command_trains_each_size_and_does_not_extrapolate_from_two(run_cli, tmp_path):
    settings = [f"{key}={value}" for key, value in SMALL.items()]
    command = ["learning-curve", "resnet8_digits", "--train", "--sizes", "60,30", "--repeats", "1", *settings]
    code, out, _ = run_cli(*command, "--json")
    found = json.loads(out)
    assert code == 0
    assert [row["images"] for row in found["sizes"]] == [30, 60]
    assert found["validation_images"] == 179
    assert "too few" in found["conclusion"]
    assert (tmp_path / "learning_curve.png").stat().st_size > 5000
    run = cr.Run(tmp_path / "comparisons" / "resnet8_digits_train_images" / "train_images=30" / "seed_0")
    assert run.metrics["validation"]["accuracy"] == pytest.approx(found["sizes"][0]["accuracy"])
    code, out, _ = run_cli(*command)
    assert out.count("trained before") == 2
    assert "of trainings of resnet8_digits" in out


def test_same_steps_trains_smaller_parts_for_more_epochs():
    base = catalog.load("resnet8_digits")
    assert _variant(base, {}, 100, 40, 400).recipe.train.epochs == 160
    assert _variant(base, {}, 400, 40, 400).recipe.train.epochs == 40


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"sizes": [100]}, RecipeError, "two sizes or more"),
        ({"sizes": [100, 0]}, RecipeError, "sizes has 0"),
        ({"sizes": [100, 5000]}, DataError, "the variant 'train_images=5000': .* has 1,259"),
        ({"sizes": [5, 100]}, DataError, "10 classes"),
        ({"sizes": [50, 100], "repeats": 0}, RecipeError, "repeats is 0"),
        ({"sizes": [50, 100], "data.validation": 0.0}, DataError, "no validation split"),
    ],
)
def test_bad_calls_are_refused_before_any_training(tmp_path, options, error, said):
    with pytest.raises(error, match=said):
        cr.training_curve("resnet8_digits", workdir=tmp_path, progress=False, **{**SMALL, **options})
    assert not list(tmp_path.iterdir())


def test_options_of_trainings_need_train(run_cli):
    code, _, err = run_cli("learning-curve", "resnet8_digits", "--sizes", "50,100")
    assert code == 2
    assert "--sizes is for --train" in err

"""The grid of short trainings: each is that of fit; the best cell, the border, and diverged cells."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.cli.result_printing import print_rate_grid
from cnnrecipes.debug.rate_grid_plot import plot_grid
from cnnrecipes.debug.rate_grid_result import Cell, RateGrid
from cnnrecipes.errors import DataError, RecipeError, TrainingError

KEYS = {"optimizer.warmup": "10%", "model.dropout": 0.2, "optimizer.ema": 0.9}


def grid_of(accuracies, rates, decays=(1e-4,), diverged=()) -> RateGrid:
    cells = tuple(
        Cell(rate, decay, math.nan if (x, y) in diverged else accuracies[y][x], 0.5 - x / 100, (x, y) in diverged, 1.0)
        for y, decay in enumerate(decays)
        for x, rate in enumerate(rates)
    )
    return RateGrid("resnet8_digits", cells, "3 epochs", 200, 0.1, 5e-4)


@pytest.fixture(scope="module")
def grid():
    return cr.rate_grid("resnet8_digits", rates=[0.05, 0.2, 1e4], decays=[5e-4, 5e-3], epochs=2, progress=False, **KEYS)


def test_a_cell_is_the_training_of_fit(grid, tmp_path):
    rate, decay = 0.2, 5e-3  # the second rate of the second decay: both were set anew
    keys = {**KEYS, "optimizer.learning_rate": rate, "optimizer.weight_decay": decay, "train.epochs": 2}
    last = cr.fit("resnet8_digits", workdir=tmp_path, progress=False, **keys).history.iloc[-1]
    cells = grid.cells.set_index(["learning_rate", "weight_decay"])
    assert cells.loc[(rate, decay), "accuracy"] == last["val_accuracy"]
    assert cells.loc[(rate, decay), "loss"] == pytest.approx(last["loss"], rel=1e-6)


def test_diverged_trainings_are_marked(grid):
    assert grid.cells["diverged"].tolist() == [False, False, True] * 2
    assert grid.cells["accuracy"].isna().tolist() == [False, False, True] * 2
    assert grid.best.learning_rate < 1


def test_best_is_the_lower_loss_of_equal_accuracies():
    found = grid_of([[0.5, 0.9, 0.9, 0.4]], [0.01, 0.03, 0.1, 0.3])
    assert found.best.learning_rate == 0.1
    assert found.border() == []
    assert "95% interval 85.1% to 93.4%" in str(found)
    assert ", which 1 of the others reach)" in str(found)
    assert str(found).endswith("the recipe has 0.1 and 0.0005.")


def test_border_says_how_to_extend_the_grid():
    rates, decays = [0.01, 0.1, 1.0], [0, 1e-4, 1e-3]
    accuracies = np.full((3, 3), 0.5)
    accuracies[2, 2] = 0.9
    text = str(grid_of(accuracies, rates, decays))
    assert text.endswith(
        "at the border of the grid: extend the grid with --rates 1,10,1e+02 and --decays 0.001,0.01,0.1."
    )
    accuracies[0, 0] = 0.95  # no decay below 0
    assert grid_of(accuracies, rates, decays).border() == ["--rates 0.0001,0.001,0.01"]
    assert grid_of([[0.5]], [0.1]).border() == []


def test_a_best_cell_within_the_noise_gives_no_advice_to_extend():
    found = grid_of([[0.80, 0.90, 0.92]], [0.01, 0.1, 1.0])  # of 200 images: 95% interval 87.4% to 95.0%
    assert found.border() == []
    assert (
        "It lies at the border of the grid, but 200 images cannot tell it from trainings with other learning rates"
        in str(found)
    )
    assert "extend the grid" not in str(found)
    found = grid_of([[0.80, 0.86, 0.92]], [0.01, 0.1, 1.0])
    assert found.border() == ["--rates 1,10,1e+02"]


def test_each_axis_is_judged_on_its_own():
    """Decays that cannot be told apart do not hide a rate that is too low."""
    accuracies = np.array([[0.5, 0.6, 0.90], [0.5, 0.6, 0.91], [0.5, 0.6, 0.92]])
    assert grid_of(accuracies, [0.01, 0.1, 1.0], [0, 1e-4, 1e-3]).border() == ["--rates 1,10,1e+02"]


def test_all_diverged_has_no_best():
    found = grid_of([[0.5, 0.5]], [0.1, 1.0], diverged={(0, 0), (1, 0)})
    assert found.best is None
    assert str(found) == "All 2 trainings diverged: set lower --rates than 0.1."
    assert plot_grid(found) is not None


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rates": [0.1, -1]}, RecipeError, "learning rates of the grid have -1; give finite numbers above 0"),
        ({"decays": [-1e-3]}, RecipeError, "weight decays of the grid have -0.001; give finite numbers 0 or more"),
        ({"rates": []}, RecipeError, "no learning rates"),
        ({"epochs": 0}, RecipeError, "0 epochs"),
        ({"epochs": 2, "steps": 20}, RecipeError, r"--epochs\) is 2 and steps \(--steps\) is 20.*give one"),
        ({"steps": 2}, RecipeError, "2 steps are too short"),
        ({"data.validation": 0.0}, DataError, "data.validation > 0"),
        ({"recipe": "features_photos"}, TrainingError, "no learning rate"),
    ],
)
def test_invalid_input_is_named(options, error, message):
    with pytest.raises(error, match=message):
        cr.rate_grid(**{"recipe": "resnet8_digits", "progress": False, **options})


def test_command_tells_the_time_and_prints_json(capsys, monkeypatch, tmp_path):
    from cnnrecipes.cli import app

    monkeypatch.chdir(tmp_path)
    options = ["--grid", "--rates", "0.1,1e5", "--decays", "0", "--steps", "12", "--json"]
    monkeypatch.setattr("sys.argv", ["cnnrecipes", "find-lr", "resnet8_digits", *options])
    with pytest.raises(SystemExit) as stopped:
        app.main()
    out, messages = capsys.readouterr()
    assert not stopped.value.code
    assert "2 trainings of 12 steps" in messages
    assert "the first took" in messages
    assert (tmp_path / "rate_grid.png").stat().st_size > 10_000
    found = json.loads(out)
    assert found["best"] == found["cells"][0]
    assert 0 < found["best"]["loss"] < 4
    assert found["cells"][1]["diverged"] is True
    assert found["cells"][1]["accuracy"] is None
    assert found["written"] == ["rate_grid.png"]


def test_table_marks_the_best_and_the_diverged(capsys):
    print_rate_grid(grid_of([[0.5, 0.9, 0.1]], [0.01, 0.1, 1.0], diverged={(2, 0)}))
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["0.1", "0.0001", "90.0%", "0.490", "1.0", "best"]
    assert lines[3].split() == ["1", "0.0001", "diverged", "1.0"]

"""The plot of a learning-rate schedule: its values, its units and its marks."""

from __future__ import annotations

import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.analysis import plot_extension, plot_schedule
from cnnrecipes.keras_optim.recipe_schedule import build_schedule
from cnnrecipes.recipe import catalog

RECIPE = catalog.load("resnet20_cifar").change(**{"train.epochs": 10})


def lines(figure):
    """Epochs and learning rates of the linear panel."""
    return figure.axes[0].get_lines()[0].get_data()


@pytest.mark.parametrize("text", ["cosine", "trapezoid()", "warm_restarts('2 epochs')", "step('3 epochs')"])
@pytest.mark.parametrize("budget", [None, "50 min"])
def test_plotted_line_is_the_learning_rate_of_the_optimizer(text, budget):
    recipe = RECIPE.change(**{"optimizer.schedule": text, "train.time_budget": budget})
    epochs, rates = lines(plot_schedule(recipe, steps_per_epoch=7))
    made = build_schedule(recipe.optimizer, RECIPE.train, 7)
    np.testing.assert_allclose(epochs, np.arange(70) / 7)
    # In a graph, as in training, float32 may be rounded differently: by a unit in the last place of the peak.
    np.testing.assert_allclose(rates, [float(made(step)) for step in range(70)], rtol=1e-6, atol=1e-8)


def test_steps_per_epoch_are_taken_from_the_data(tmp_path):
    epochs, _ = lines(plot_schedule("resnet8_digits", data="digits", path=tmp_path / "x.png"))
    assert np.diff(epochs).max() == pytest.approx(1 / 19)
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_schedule_in_steps_requires_steps_per_epoch(tmp_path):
    recipe = RECIPE.change(**{"optimizer.schedule": "exponential('1 step')"})
    with pytest.raises(cr.RecipeError, match="--steps-per-epoch"):
        plot_schedule(recipe)
    recipe = RECIPE.change(**{"optimizer.schedule": "step('400 steps')"})
    with pytest.raises(cr.RecipeError, match="--steps-per-epoch"):
        plot_schedule(recipe)
    assert lines(plot_schedule(recipe, steps_per_epoch=100))[1][450] == pytest.approx(0.01)
    with pytest.raises(cr.RecipeError, match="steps_per_epoch is -1"):
        plot_schedule(recipe, steps_per_epoch=-1)
    with pytest.raises(cr.RecipeError, match="make it shorter"):
        plot_schedule(RECIPE.change(**{"optimizer.warmup": "12 epochs"}))


def test_start_of_an_extension_is_marked():
    figure = plot_schedule(RECIPE.change(**{"optimizer.extensions": ["restart(6)"]}), steps_per_epoch=10, mark_epoch=6)
    assert list(figure.axes[0].get_lines()[1].get_xdata()) == [6, 6]


def test_extension_of_a_run_is_plotted_before_training(digits_run, tmp_path):
    done = digits_run.recipe.train.epochs
    figure = plot_extension(digits_run.folder, 4, schedule="restart", path=tmp_path / "x.png")
    assert list(figure.axes[0].get_lines()[1].get_xdata()) == [done, done]
    assert lines(figure)[0][-1] == pytest.approx(done + 4, abs=0.1)
    assert (tmp_path / "x.png").is_file()
    with pytest.raises(cr.RecipeError, match="learning_rate is required for schedule='constant'"):
        plot_extension(digits_run, 4, schedule="constant")

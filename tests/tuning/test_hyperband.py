"""Hyperband: its rounds are those of the paper, also with failed trials and in a small space."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from small_oracle import oracle_in, run, score_of
from small_search import DATA, RECIPE, SPACE

import cnnrecipes as cr
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.search import Hyperband
from cnnrecipes.tuning.hyperband import planned_trials
from cnnrecipes.tuning.tune import search_recipe


def epochs_of(oracle) -> Counter:
    return Counter(trial.hyperparameters.values["tuner/epochs"] for trial in oracle.trials.values())


def promotions(oracle) -> int:
    return sum("tuner/trial_id" in trial.hyperparameters.values for trial in oracle.trials.values())


def test_whole_algorithm_has_its_rounds(tmp_path):
    oracle = oracle_in(tmp_path / "a", method="hyperband", trials=1000)
    run(oracle)
    assert planned_trials(Hyperband(), 40) == (52, len(oracle.trials)) == (52, 90)
    assert epochs_of(oracle) == {2: 34, 5: 12 + 15, 14: 4 + 5 + 8, 40: 2 + 2 + 3 + 5}


def test_trials_that_continue_are_the_best_of_their_round(tmp_path):
    oracle = oracle_in(tmp_path / "a", method="hyperband", trials=52)
    run(oracle)
    trials = oracle.trials
    chosen = {one.hyperparameters.values.get("tuner/trial_id") for one in trials.values()}
    for epochs, count in {2: 12, 5: 4, 14: 2}.items():
        round_ = [one for one in trials.values() if one.hyperparameters.values["tuner/epochs"] == epochs]
        best = sorted(round_, key=lambda one: -one.score)[:count]
        assert sum(one.trial_id in chosen for one in round_) == count
        assert {one.trial_id for one in best} <= chosen


@pytest.mark.parametrize("share", [0.1, 0.35, 0.5])
def test_failed_trials_take_no_promotions_away(tmp_path, share):
    numbers = random.Random(1)
    oracle = oracle_in(tmp_path / "a", method="hyperband", trials=1000)

    def score(values):
        # A new trial diverges with this probability; one that continues has shown that it does not.
        new = "tuner/trial_id" not in list(oracle.trials.values())[-1].hyperparameters.values
        return None if new and numbers.random() < share else score_of(values)

    run(oracle, score=score)
    planned = oracle_in(tmp_path / "b", method="hyperband", trials=1000)
    run(planned)
    assert promotions(planned) == 28
    assert promotions(oracle) >= 27  # of the last brackets too few trials may be left
    assert epochs_of(oracle)[40] >= epochs_of(planned)[40] - 1


def test_trials_that_fail_late_leave_smaller_rounds(tmp_path):
    oracle = oracle_in(tmp_path / "a", method="hyperband", trials=1000)
    numbers = random.Random(2)
    run(oracle, score=lambda values: None if numbers.random() < 0.7 else score_of(values))
    assert len(oracle.trials) > 60
    assert all(one.status in ("COMPLETED", "FAILED") for one in oracle.trials.values())


def test_small_space_makes_a_smaller_bracket(tmp_path):
    space = {"model.norm": ["batch", "group", "layer"], "optimizer.nesterov": [True, False]}
    oracle = oracle_in(tmp_path / "a", space=space, method="hyperband", trials=1000)
    run(oracle, score=lambda values: len(values["model.norm"]) + values["optimizer.nesterov"] / 2)
    assert epochs_of(oracle) == {2: 6, 5: 6, 14: 4, 40: 2}
    assert oracle.exhausted


def test_default_search_runs_the_whole_algorithm():
    said: list[str] = []
    base = search_recipe(catalog.load("resnet8_digits"), None, None, {"method": "hyperband"}, said.append)
    assert base.search.trials == 90
    assert "hyperband runs 90 trials" in said[-1]
    assert search_recipe(catalog.load("resnet8_digits"), None, None, {}, said.append).search.trials == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"method": "hyperband", "trials": 20},
            r"needs 52 trials until.*search\.trials = 52 or more \(90 for",
        ),
        ({"method": "bayesian", "trials": 4}, r"begins with 4 random trials, and search\.trials is 4.*\(initial=2\)"),
        ({"method": "bayesian(initial=30)"}, "begins with 30 random trials, and search.trials is 20"),
    ],
)
def test_too_few_trials_for_a_method_are_refused(tmp_path, options, message):
    with pytest.raises(cr.RecipeError, match=message):
        cr.tune(RECIPE, DATA, space=SPACE, workdir=tmp_path, progress=False, **{"train.epochs": 40}, **options)
    assert not list(tmp_path.iterdir())

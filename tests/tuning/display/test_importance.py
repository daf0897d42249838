"""Importances of synthetic searches, in which it is known what matters."""

from __future__ import annotations

import math
import random

import pytest
from synthetic_search import trial

from cnnrecipes.recipe.space import parse_space
from cnnrecipes.tuning.display.importance import FEWEST, importances

SPACE = {
    "a": "uniform(0, 1)",
    "b": "uniform(0, 1)",
    "rate": "log(1e-4, 1)",
    "kind": ["x", "y", "z"],
    "inner": {"values": "uniform(0, 1)", "when": {"kind": "x"}},
}


def found(score, count: int, *, seed: int = 0, maximizes: bool = True):
    """The importances of random trials with this score."""
    numbers, trials = random.Random(seed), []
    for number in range(1, count + 1):
        values = {"a": numbers.random(), "b": numbers.random(), "rate": 10 ** numbers.uniform(-4, 0)}
        values["kind"] = numbers.choice("xyz")
        if values["kind"] == "x":
            values["inner"] = numbers.random()
        trials.append(trial(number, values, score(values, numbers)))
    return importances(parse_space(SPACE), trials, maximizes=maximizes)


def clear(result) -> set[str]:
    return {one.key for one in result.keys if one.clear}


def test_the_only_key_that_matters_has_all_the_variance():
    result = found(lambda values, numbers: -((math.log10(values["rate"]) + 1.5) ** 2) + numbers.gauss(0, 0.1), 60)
    assert result.told
    assert result.explained > 0.7
    assert clear(result) == {"rate"}
    first, *others = result.keys
    assert first.key == "rate"
    assert first.value > 0.5
    assert all(abs(one.value) < 0.05 for one in others)
    assert result.sentence.startswith("Clearly above 0: rate. From 60 trials")


@pytest.mark.parametrize("seed", range(4))
def test_noise_makes_no_key_important(seed):
    result = found(lambda values, numbers: numbers.gauss(0, 1), 40, seed=seed)
    assert not result.told
    assert "which key is important cannot be told" in result.sentence


def test_an_interaction_counts_for_both_keys():
    result = found(lambda values, numbers: (values["a"] - 0.5) * (values["b"] - 0.5), 150)
    assert result.told
    assert clear(result) == {"a", "b"}


def test_a_conditional_key_does_not_get_the_importance_of_its_condition():
    """The score depends on `kind` alone; `inner`, active in one kind only, would tell it if inactive values did."""
    result = found(lambda values, numbers: (values["kind"] == "x") + numbers.gauss(0, 0.1), 80)
    assert clear(result) == {"kind"}
    inner = next(one for one in result.keys if one.key == "inner")
    assert 8 <= inner.active < 80


def test_a_choice_of_three_is_one_key():
    result = found(lambda values, numbers: "yxz".index(values["kind"]) + numbers.gauss(0, 0.1), 80)
    assert clear(result) == {"kind"}


def test_one_diverged_trial_does_not_decide():
    def loss(values, numbers):
        return 1e9 if numbers.random() < 0.02 else (math.log10(values["rate"]) + 2) ** 2 + numbers.gauss(0, 0.05)

    result = found(loss, 80, maximizes=False)
    assert clear(result) == {"rate"}


def test_too_few_trials_are_said():
    result = found(lambda values, numbers: values["a"], 8)
    assert not result.told
    assert result.sentence.startswith("With 8 trials the importances of the keys cannot be told")


def test_failed_and_repeated_trials_do_not_count():
    values = [{"a": i / 20} for i in range(FEWEST - 1)]
    trials = [trial(i + 1, value, value["a"]) for i, value in enumerate(values)]
    trials += [trial(50, {"a": 0.9}, None, "failed", reason="NaN"), trial(51, values[0], 0.1, epochs=9)]
    result = importances(parse_space({"a": "uniform(0, 1)"}), trials, maximizes=True)
    assert result.trials == FEWEST - 1


def test_equal_scores_are_said():
    result = found(lambda values, numbers: 0.1, 20)
    assert not result.told
    assert "the same score" in result.sentence


def test_the_same_trials_have_the_same_importances():
    first, second = (found(lambda values, numbers: values["a"] + numbers.gauss(0, 0.1), 30) for _ in range(2))
    assert first == second

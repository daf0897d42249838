"""Search methods: reproducible from the seed, resumable at any time, without repeated values; failures count."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter

import keras_tuner
import pytest
from small_oracle import oracle_in, run, score_of

from cnnrecipes.errors import RunError
from cnnrecipes.recipe.space import parse_space
from cnnrecipes.tuning.hyperparameters import declare, values_of
from cnnrecipes.tuning.kept_oracle import FILE, VALUES


@pytest.mark.parametrize("method", ["random", "bayesian(initial=9)", "hyperband"])
def test_values_are_a_function_of_the_seed(tmp_path, method):
    first = run(oracle_in(tmp_path / "a", method=method))
    assert len(first) == 12
    assert first == run(oracle_in(tmp_path / "b", method=method))
    other = run(oracle_in(tmp_path / "c", method=method, seed=1))
    assert other[0] != first[0]
    assert all(("optimizer.momentum" in one) == (one["optimizer.name"] == "sgd") for one in first + other)
    assert all(one["augment.ops"] in ([], ["flip_lr"]) for one in first)


@pytest.mark.parametrize("method", ["random", "bayesian(initial=9)", "hyperband"])
def test_killed_search_goes_on_with_the_trial_that_was_running(tmp_path, method):
    whole = run(oracle_in(tmp_path / "a", method=method))
    killed = oracle_in(tmp_path / "b", method=method)
    before = run(killed, most=6)
    running = json.loads(killed.create_trial("one").hyperparameters.values[VALUES])
    assert [*before, running] == whole[:7]
    again = oracle_in(tmp_path / "b", method=method)
    assert before + run(again) == whole


def test_small_space_is_exhausted_without_repetition(tmp_path):
    space = {"model.norm": ["batch", "group", "layer"], "train.epochs": "int(1, 40)"}
    oracle = oracle_in(tmp_path / "a", space=space, trials=1000)
    found = run(oracle, score=lambda values: 0.5)
    assert len(found) == 120
    assert len({json.dumps(one, sort_keys=True) for one in found}) == 120
    assert oracle.exhausted


def test_bayesian_search_ends_when_the_space_is_exhausted(tmp_path):
    space = {"model.norm": ["batch", "group"], "train.epochs": "int(1, 3)"}
    found = run(oracle_in(tmp_path / "a", space=space, method="bayesian(initial=2)"), score=lambda values: 0.5)
    assert len({json.dumps(one, sort_keys=True) for one in found}) == len(found) == 6


@pytest.mark.parametrize("values", ["uniform(0, 1, 0.1)", "uniform(0, 0.3, 0.1)", "uniform(0.1, 0.6, 0.2)"])
def test_uniform_range_with_a_step_has_all_its_values_in_equal_shares(values):
    entries = parse_space({"optimizer.ema": values})
    space = keras_tuner.HyperParameters()
    declare(space, entries)
    (hp,) = space.space
    drawn = Counter()
    for seed in range(1000):
        drawn[values_of_sample(space, hp.random_sample(seed), entries)] += 1
    listed = entries[0].values.all_values()
    assert sorted(drawn) == listed
    assert min(drawn.values()) > 0.6 * 1000 / len(listed)
    places = [hp.value_to_prob(value) for value in listed]
    assert all(first < second for first, second in itertools.pairwise(places))  # as the Gaussian process sees them


def values_of_sample(space, value, entries):
    found = space.copy()
    found.values = {"optimizer.ema": value}
    return values_of(found, entries)["optimizer.ema"]


def test_failures_never_end_the_search_and_lead_bayesian_search_away(tmp_path):
    assert len(run(oracle_in(tmp_path / "a"), score=lambda values: None)) == 12

    def fails_above(values):
        return None if values["optimizer.learning_rate"] > 0.3 else values["optimizer.learning_rate"]

    space = {"optimizer.learning_rate": "log(1e-4, 1)"}
    found = run(oracle_in(tmp_path / "b", space=space, method="bayesian(initial=4)", trials=20), score=fails_above)
    late = found[12:]
    assert sum(fails_above(one) is None for one in late) < len(late) / 2
    assert max(score for one in late if (score := fails_above(one))) > 0.1


def test_bayesian_search_finds_the_optimum(tmp_path):
    space = {"optimizer.learning_rate": "log(1e-4, 1)"}
    found = run(oracle_in(tmp_path / "a", space=space, method="bayesian(initial=4)", trials=20))
    assert max(map(score_of, found[4:])) > -0.05


def test_running_trials_count_with_what_the_fitted_process_guesses(tmp_path):
    space = {"optimizer.learning_rate": "log(1e-4, 1)"}
    options = {"space": space, "method": "bayesian(initial=4)", "trials": 30}
    run(oracle_in(tmp_path / "a", **options), most=6)
    oracle = oracle_in(tmp_path / "a", **options)
    rates = []
    for number in range(4):  # four workers at a time, of which none has a result yet
        values = json.loads(oracle.create_trial(f"worker{number}").hyperparameters.values[VALUES])
        rates.append(math.log10(values["optimizer.learning_rate"]))
    assert all(abs(one - other) > 1e-3 for one, other in itertools.combinations(rates, 2))
    # An unfitted process guesses 1 for -accuracies below 0, from which the next proposals flee.
    assert sum(abs(rate + 1) < 1.5 for rate in rates) >= 2


def test_damaged_state_is_named(tmp_path):
    run(oracle_in(tmp_path / "a"), most=2)
    (tmp_path / "a" / FILE).write_text("{")
    with pytest.raises(RunError, match="cannot read.*oracle.json"):
        oracle_in(tmp_path / "a")

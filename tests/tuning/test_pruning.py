"""Pruning: the rules of Optuna on curves, and trials of a search that are pruned, also by successive halving."""

from __future__ import annotations

import random

import pandas as pd
import pytest
from small_search import DATA, RECIPE

import cnnrecipes as cr
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.search import HalvingPruning, MedianPruning
from cnnrecipes.tuning.open_data import OpenData
from cnnrecipes.tuning.pruning import Others, reason_to_prune
from cnnrecipes.tuning.records import Trial
from cnnrecipes.tuning.trial_run import TrialRunner

NAN = float("nan")


def curve(*values):
    return dict(enumerate(values, 1))


def prunes(rule, own, completed=(), others=(), maximizes=True):
    found = reason_to_prune(rule, own, Others(list(completed), [*completed, *others]), maximizes=maximizes)
    return found is not None


FIVE = [curve(0.1, 0.5), curve(0.2, 0.6), curve(0.3, 0.7), curve(0.4, 0.8), curve(0.5, 0.9)]


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (curve(0.29), True),
        (curve(0.3), False),  # as good as the median
        (curve(0.75, 0.1), False),  # its best epoch counts
        (curve(0.1, 0.69), True),
        (curve(NAN), True),
        (curve(0.1, 0.2, 0.3), False),  # no other trial has a third epoch
    ],
)
def test_median_rule(own, expected):
    assert prunes(MedianPruning(), own, FIVE) is expected
    flipped = [{epoch: -value for epoch, value in one.items()} for one in FIVE]
    assert prunes(MedianPruning(), {e: -v for e, v in own.items()}, flipped, maximizes=False) is expected


def test_median_rule_waits_for_startup_trials_warmup_and_interval():
    bad = [curve(*[0.0] * epoch) for epoch in range(1, 7)]
    others = [curve(*[0.5] * 6)] * 5
    assert not prunes(MedianPruning(), bad[0], others[:4])
    assert prunes(MedianPruning(startup=2), bad[0], others[:2])
    assert not prunes(MedianPruning(startup=0), bad[0], [])
    assert [prunes(MedianPruning(warmup=2), own, others) for own in bad] == [False, False, True, True, True, True]
    rule = MedianPruning(warmup=1, interval=2)
    assert [prunes(rule, own, others) for own in bad] == [False, True, False, True, False, True]


def test_halving_rule_lets_one_in_factor_pass_each_rung():
    rule = HalvingPruning(first=1, factor=4)
    assert not prunes(rule, curve(0.1))  # the first trial
    assert prunes(rule, curve(0.1), others=[curve(0.2)])
    assert not prunes(rule, curve(0.3), others=[curve(0.2)])
    eight = [curve(value / 10) for value in range(1, 8)]
    assert not prunes(rule, curve(0.7), others=eight[:6])
    assert not prunes(rule, curve(0.65), others=eight)  # the second of 8
    assert prunes(rule, curve(0.55), others=eight)
    assert prunes(rule, curve(NAN))
    # Rungs are the epochs 1, 4, 16.
    best = [curve(0.9, 0.9, 0.9, 0.9)]
    assert [prunes(rule, curve(*[0.1] * epoch), others=best) for epoch in range(1, 6)] == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert [prunes(HalvingPruning(first=2, factor=2), curve(*[0.1] * e), others=best) for e in (1, 2, 3, 4)] == [
        False, True, False, True,
    ]  # fmt: skip


def searched(curves, rule, workers):
    """Train curves by a rule, `workers` at a time, an epoch each in turn; return the completed ones and the epochs."""
    waiting, running, over, completed = list(range(len(curves))), {}, {}, []
    while waiting or running:
        while waiting and len(running) < workers:
            running[waiting.pop(0)] = 0
        for number in list(running):
            running[number] += 1
            own = {epoch: curves[number][epoch] for epoch in range(1, running[number] + 1)}
            epochs = over | {one: last for one, last in running.items() if one != number}
            known = [{epoch: curves[one][epoch] for epoch in range(1, last + 1)} for one, last in epochs.items()]
            others = Others([curves[one] for one in completed], known)
            ends = len(own) == len(curves[number])
            if ends or reason_to_prune(rule, own, others, maximizes=True):
                over[number] = running.pop(number)
                completed += [number] if ends else []
    return completed, sum(over.values())


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("rule", [MedianPruning(), HalvingPruning(), HalvingPruning(first=2, factor=3)])
def test_pruned_search_finds_the_same_best_where_the_order_of_the_trials_is_that_of_their_first_epochs(rule, workers):
    for seed in range(10):
        numbers = random.Random(seed)
        finals = [numbers.uniform(0.3, 1) for _ in range(30)]
        curves = [curve(*(final * (1 - 0.7**epoch) for epoch in range(1, 17))) for final in finals]
        completed, epochs = searched(curves, rule, workers)
        assert max(completed, key=finals.__getitem__) == max(range(30), key=finals.__getitem__)
        assert epochs < 0.8 * 30 * 16


def test_trial_that_is_slow_at_first_is_pruned_unless_the_rule_waits():
    fast = [curve(*[0.5 + number / 100] * 16) for number in range(8)]
    slow = curve(*[0.1] * 4, *[0.9] * 12)
    assert 8 not in searched([*fast, slow], HalvingPruning(), 1)[0]
    assert 8 not in searched([*fast, slow], MedianPruning(), 1)[0]
    assert 8 in searched([*fast, slow], HalvingPruning(first=5), 1)[0]
    assert 8 in searched([*fast, slow], MedianPruning(warmup=4), 1)[0]


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    """A search in which trials with tiny learning rates are pruned."""
    space = {"optimizer.learning_rate": [0.3, 0.2, 1e-6, 1e-5]}
    folder = tmp_path_factory.mktemp("pruned")
    options = {"trials": 4, "pruning": "halving(first=1, factor=2)", "best": 0, "progress": False, "train.epochs": 3}
    return cr.tune(RECIPE, DATA, space=space, workdir=folder, seed=8, **options)


def test_pruned_trials_are_recorded_with_their_epoch(pruned):
    table = pruned.trials
    assert set(table.status) == {"completed", "pruned"}
    cut = table[table.status == "pruned"]
    assert (cut.epochs < 3).all()
    assert all(f"pruned after epoch {row.epochs}: its " in row.reason for row in cut.itertuples())
    assert cut.score.notna().all()
    assert (table[table.status == "completed"].epochs == 3).all()
    assert pruned.best.recipe.optimizer.learning_rate in (0.2, 0.3, 1e-5, 1e-6)
    # The decisions follow from the histories alone.
    rule, maximizes = pruned.settings.rule, pruned.settings.maximizes
    before: list[Trial] = []
    for record in pruned.records:
        others = Others([], [one.history(pruned.folder, "val_accuracy") for one in before])
        own = record.history(pruned.folder, "val_accuracy")
        reasons = [
            reason_to_prune(rule, {e: own[e] for e in range(1, last + 1)}, others, maximizes=maximizes)
            for last in range(1, min(len(own), 2) + 1)
        ]
        assert [why is not None for why in reasons].count(True) == (record.status == "pruned")
        before.append(record)


def test_pruned_trial_is_an_unfinished_run_that_can_be_finished(pruned):
    row = next(one for one in pruned.trials.itertuples() if one.status == "pruned")
    run = cr.Run.open(pruned.folder / row.run)
    assert not run.finished
    assert cr.resume(run, DATA, progress=False).finished  # with the weights that it has


def test_nan_of_an_early_epoch_does_not_hide_the_others(tmp_path):
    runner = TrialRunner(catalog.load({"extends": "resnet8_digits", "search": {"space": {}}}), tmp_path, OpenData())
    record = Trial(1, {}, 1, "", run="trials/0001")
    (tmp_path / record.run).mkdir(parents=True)
    columns = ["epoch", "loss", "accuracy", "learning_rate", "seconds", "images_per_second", "val_loss", "val_accuracy"]
    table = pd.DataFrame(1.0, index=range(3), columns=columns).assign(epoch=[1, 2, 3], val_accuracy=[NAN, 0.5, 0.25])
    table.to_csv(tmp_path / record.run / "history.csv", index=False)
    result = runner.result(record, "pruned after epoch 3: its best 0.5 is worse")
    assert (result.status, result.score, result.best_epoch) == ("pruned", 0.5, 2)
    table[:1].to_csv(tmp_path / record.run / "history.csv", index=False)
    assert runner.result(record, "pruned after epoch 1").status == "failed"


def test_hyperband_continues_the_training_of_the_best_trials(tmp_path):
    space = {"optimizer.learning_rate": "log(1e-3, 1)"}
    search = cr.tune(
        RECIPE,
        DATA,
        space=space,
        method="hyperband",
        trials=4,
        best=0,
        workdir=tmp_path,
        progress=False,
        **{"train.epochs": 3},
    )
    records = search.records
    children = [one for one in records if one.parent]
    assert children
    for child in children:
        parent = records[child.parent - 1]
        assert (child.values, child.seed) == (parent.values, parent.seed)
        assert parent.stop_after == parent.epochs == 1
        assert "pruned after epoch 1: hyperband gives it 1 epochs" in parent.reason
        rows = [search.run(one.trial).history for one in (parent, child)]
        assert rows[1][:1].equals(rows[0])  # continued, not repeated
        assert child.status == "completed"
        assert child.epochs == 3
    whole = cr.fit(
        RECIPE, DATA, seed=children[0].seed, workdir=tmp_path, progress=False,
        **{"train.epochs": 3, **children[0].values},
    )  # fmt: skip
    assert whole.metrics["weights"] == search.run(children[0].trial).metrics["weights"]

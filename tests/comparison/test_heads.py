"""`compare_heads`: the heads are those of `fit`, and which of them is best."""

from __future__ import annotations

import json
import math
import shlex

import numpy as np
import pandas as pd
import pytest
from adaptation import NARROW, OTHER, SMALL, write_photos

import cnnrecipes as cr
from cnnrecipes.comparison.head_comparison import ComparedHead, HeadComparison
from cnnrecipes.comparison.head_variants import head_variants
from cnnrecipes.comparison.paired import Discordance
from cnnrecipes.errors import DataError, ModelError, NonFinite, RecipeError, TrainingError
from cnnrecipes.recipe.toml import write_override
from cnnrecipes.runs.intervals import wilson

HEAD, RATE = "transfer.head", "optimizer.learning_rate"


@pytest.fixture(scope="module")
def settings(pretrained) -> dict:
    """Recipe keys of heads on the features of a narrow pretrained run."""
    others = {key: value for key, value in SMALL.items() if key != RATE}
    return {**others, **NARROW, "model.weights": str(pretrained.folder), "transfer.cross_validation": "never"}


@pytest.fixture(scope="module")
def found(settings) -> HeadComparison:
    over = {HEAD: ["logistic", "linear", "mlp"], RATE: [0.01, 0.1], "transfer.views": [0, 1]}
    return cr.compare_heads(
        "resnet20_cifar", OTHER, over=over, progress=False, **{**settings, "augment.ops": ["flip_lr"]}
    )


def test_a_logistic_regression_is_fitted_once_for_keys_that_it_does_not_depend_on(found):
    labels = {one.label for one in found.heads}
    assert len(labels) == len(found.heads) == 2 + 4 + 4
    assert {"head=logistic, views=0", "head=logistic, views=1", "head=mlp, learning_rate=0.1, views=1"} <= labels
    assert RATE not in next(one for one in found.heads if one.label == "head=logistic, views=1").changes


@pytest.mark.parametrize(
    "label",
    ["head=logistic, views=1", "head=linear, learning_rate=0.1, views=0", "head=mlp, learning_rate=0.1, views=1"],
)
def test_fit_with_the_changes_of_a_head_trains_the_same_one(found, label, tmp_path):
    """Also one that shares the graphs of another learning rate."""
    one = next(one for one in found.heads if one.label == label)
    run = cr.fit("resnet20_cifar", OTHER, workdir=tmp_path, progress=False, **one.changes)
    measured = run.metrics["validation"]
    assert measured["accuracy"] == pytest.approx(one.accuracy)
    assert measured["cross_entropy"] == pytest.approx(one.cross_entropy, abs=1e-5)
    np.testing.assert_array_equal(run.predictions("validation").right, one.right)
    assert run.metrics["trainable_parameters"] == one.parameters
    if "logistic" not in label:
        assert one.chosen == f"epoch {run.metrics['epoch']} of 2"


def test_table_has_the_best_first_with_intervals_and_paired_tests(found):
    table = found.table
    assert list(table["head"]) == [one.label for one in found.heads]
    order = list(zip(-table["accuracy"], table["cross_entropy"], strict=True))
    assert order == sorted(order)
    assert tuple(table.loc[0, ["low", "high"]]) == pytest.approx(wilson(int(found.best.right.sum()), found.images))
    assert math.isnan(table.loc[0, "p_holm"])
    p = [Discordance.of(found.best.right, one.right).p for one in found.heads[1:]]
    assert (table["p_holm"][1:] >= p).all()
    assert table["difference"][1:].tolist() == pytest.approx(
        [one.accuracy - found.best.accuracy for one in found.heads[1:]]
    )


def compared(label: str, right: np.ndarray, diverged: bool = False) -> ComparedHead:
    return ComparedHead(
        label, {}, right & (not diverged), 0.1, 2, 0.1, "diverged" if diverged else "epoch 1 of 2", diverged
    )


def test_conclusion_tells_how_many_heads_are_significantly_worse():
    right = np.arange(100) < 95
    best, near, far = (
        compared(name, right & (np.arange(100) >= wrong)) for name, wrong in (("a", 0), ("b", 1), ("c", 40))
    )
    diverged = compared("d", right, diverged=True)
    found = HeadComparison([best, near, far, diverged])
    assert "a has the highest accuracy: 95.0% of 100 validation images right" in str(found)
    assert "1 of 2 other heads are significantly worse" in str(found)
    assert "mostly random" not in str(found)
    assert "Every other head is significantly worse" in str(HeadComparison([best, far]))
    assert "No other head is significantly worse" in str(HeadComparison([best, near, diverged]))
    assert "every other head diverged" in str(HeadComparison([best, diverged]))
    assert "With 20 validation images the choice is mostly random" in str(
        HeadComparison([compared("a", right[:20]), diverged])
    )
    assert found.table.loc[3, ["accuracy", "low", "cross_entropy", "p_holm"]].isna().all()


def test_heads_that_diverge_come_last_and_if_all_do_it_is_an_error(settings):
    over = {HEAD: ["logistic", "linear"], RATE: [1e30]}
    found = cr.compare_heads("resnet20_cifar", OTHER, over=over, progress=False, **settings)
    assert [one.label for one in found.heads if one.diverged] == [found.heads[1].label]
    assert pd.isna(found.table.loc[1, "accuracy"])
    assert found.table.loc[1, "chosen"] == "diverged"
    with pytest.raises(NonFinite, match=r"every head .* lower values of optimizer.learning_rate"):
        cr.compare_heads(
            "resnet20_cifar", OTHER, over={RATE: [1e30, 1e31]}, progress=False, **{**settings, HEAD: "linear"}
        )


def test_default_is_three_kinds_of_heads_with_three_learning_rates():
    labels = [one.label for one in head_variants("features_photos", None, {})]
    assert labels[0] == "head=logistic"
    assert labels[1:] == [
        f"head={kind}, learning_rate={rate}" for kind in ("linear", "mlp") for rate in (0.001, 0.003, 0.01)
    ]
    assert [one.label for one in head_variants("finetune_photos", None, {HEAD: "mlp"})] == [
        f"learning_rate={rate}" for rate in (0.001, 0.003, 0.01)
    ]


@pytest.mark.parametrize(
    ("over", "changes", "message"),
    [
        ({"data.image_size": [32, 64]}, {}, r"data.image_size cannot have several values.*`cnnrecipes compare`"),
        ({"train.seed": [0, 1]}, {}, r"train.seed cannot have several values here: all heads have the same.*seed"),
        ({"train.xla": [True, False]}, {}, r"train.xla cannot have several values"),
        ({RATE: [0.1, 0.2]}, {HEAD: "logistic"}, r"one head to compare, a logistic regression"),
        (None, {HEAD: "logistic"}, r"one head to compare, a logistic regression"),
        (None, {HEAD: "mlp", RATE: 0.1}, r"one head to compare; give several values"),
        ({RATE: [0.1, 0.2]}, {"transfer.how": "lora", HEAD: "mlp"}, r"transfer.how = 'lora'.*leave it out"),
        ({RATE: [0.1, 0.2]}, {"train.start_from": "RUN", HEAD: "mlp"}, r"start_from.*model.weights instead"),
        ({RATE: [0.1, 0.2]}, {"train.time_budget": "9 s", HEAD: "mlp"}, r"time_budget.*leave it out"),
        ({RATE: [0.1, -1]}, {HEAD: "mlp"}, r"learning_rate"),
        ({"transfer.hed": ["linear", "mlp"]}, {}, r"transfer.hed.*transfer.head"),
        ({"transfer.views": [0, 2]}, {}, r"augment.ops is empty, so that they would be copies"),
    ],
)
def test_keys_that_cannot_be_compared_are_named(over, changes, message):
    with pytest.raises(RecipeError, match=message):
        head_variants("features_photos", over, changes)


def test_pairs_need_keys():
    with pytest.raises(RecipeError, match="there is no such key"):
        head_variants("features_photos", None, {}, pairs=True)


def test_keys_are_checked_before_the_data_are_opened():
    with pytest.raises(RecipeError, match="data.image_size"):
        cr.compare_heads("features_photos", "no such folder", over={"data.image_size": [32, 64]})


def test_no_backbone_no_validation_split_and_another_pooling_are_named(settings):
    with pytest.raises(TrainingError, match=r"model.weights is 'none'"):
        cr.compare_heads("resnet20_cifar", OTHER, progress=False, **{**settings, "model.weights": "none"})
    with pytest.raises(DataError, match=r"validation split.*data.validation above 0"):
        cr.compare_heads("resnet20_cifar", OTHER, progress=False, **{**settings, "data.validation": 0.0})
    with pytest.raises(ModelError, match=r"transfer.head = 'mlp'"):
        cr.compare_heads(
            "resnet20_cifar",
            OTHER,
            over={RATE: [0.1, 1.0]},
            progress=False,
            **{**settings, HEAD: "mlp", "model.head": "max"},
        )


def test_command_prints_the_table_and_writes_the_best(run_cli, settings, tmp_path):
    keys = [write_override(key, value) for key, value in {**settings, **NARROW}.items()]
    photos = str(write_photos(tmp_path / "photos", size=16))
    asked = ["compare-heads", "resnet20_cifar", "--data", photos, *keys, f"{HEAD}=logistic,linear"]
    status, out, _ = run_cli(*asked)
    assert status == 0
    assert "head=logistic" in out
    assert "has the highest accuracy: " in out
    command = shlex.split(out.splitlines()[-1].removeprefix("next: "))
    assert command[:5] == ["cnnrecipes", "fit", "resnet20_cifar", "--data", photos]
    assert {"model.widths=[16, 16]", "transfer.how=features", "augment.ops=[]"} <= set(command)
    status, _, err = run_cli(*asked, "--name", "one")
    assert (status, "--name is for --fit" in err) == (2, True)
    status, out, _ = run_cli(*asked, "--json", "--fit", "--workdir", str(tmp_path / "runs"))
    assert status == 0
    document = json.loads(out)
    run, best = cr.load(document["run"]), document["heads"][0]
    assert run.folder.parent == tmp_path / "runs"
    assert run.metrics["validation"]["accuracy"] == pytest.approx(best["accuracy"])
    assert run.recipe.transfer.head == best["changes"][HEAD]

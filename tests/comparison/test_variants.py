"""Variants: values with commas, products and pairs, labels, folders, and what is refused before any training."""

from __future__ import annotations

import pytest

from cnnrecipes.comparison.variants import default_name, find_variant, folder_of, make_variants, parse_values
from cnnrecipes.errors import RecipeError, UnknownNameError

DIGITS = "resnet8_digits"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("model.norm=batch,layer,group", ["batch", "layer", "group"]),
        ("optimizer.learning_rate=0.1, 3e-2", [0.1, 0.03]),
        ('augment.ops=["flip_lr"],["flip_lr","pad_crop(4)"]', [["flip_lr"], ["flip_lr", "pad_crop(4)"]]),
        ("augment.ops=[],['cutout(8)']", [[], ["cutout(8)"]]),
        ("model.depths=[1, 1, 1]", [[1, 1, 1]]),
        ("optimizer.schedule=cosine,trapezoid(cooldown='20%',x=1)", ["cosine", "trapezoid(cooldown='20%',x=1)"]),
        ('data.name="a,b"', ["a,b"]),
        ("model.squeeze_excite=4,8", [4, 8]),
        ("train.deterministic=true,false", [True, False]),
    ],
)
def test_values_are_split_at_commas_outside_of_brackets_and_quotes(text, values):
    assert parse_values(text) == (text.partition("=")[0], values)


@pytest.mark.parametrize(
    "text", ["model.norm=batch,,group", "model.norm=batch,", "a.b=[1,2", "a.b=1],2", 'a.b="x,y', "x"]
)
def test_malformed_values_are_refused(text):
    with pytest.raises(RecipeError, match=r"model.norm|a.b|KEY=A,B"):
        parse_values(text)


def test_product_and_pairs():
    over = {"model.norm": ["batch", "group"], "optimizer.learning_rate": [0.1, 0.05]}
    labels = [one.label for one in make_variants(DIGITS, over, {})]
    assert labels == [f"norm={norm}, learning_rate={rate}" for norm in ("batch", "group") for rate in (0.1, 0.05)]
    pairs = make_variants(DIGITS, over, {"train.epochs": 3}, pairs=True)
    assert [one.label for one in pairs] == ["norm=batch, learning_rate=0.1", "norm=group, learning_rate=0.05"]
    assert pairs[1].recipe.model.norm == "group"
    assert pairs[1].recipe.train.epochs == 3
    assert pairs[0].folder.startswith("norm=batch_learning_rate=0.1-")


def test_recipes_by_name_and_as_tables_are_variants():
    smaller = {"extends": DIGITS, "name": "smaller", "model": {"widths": [8, 16, 32]}}
    variants = make_variants([DIGITS, smaller], None, {})
    assert [one.label for one in variants] == [DIGITS, "smaller"]
    assert default_name([DIGITS, smaller], None) == "resnet8_digits_vs_smaller"
    assert default_name(DIGITS, {"model.norm": []}) == "resnet8_digits_norm"


def test_keys_that_end_alike_are_told_apart():
    over = {"model.name": ["resnet8", "resnet20"], "optimizer.name": ["sgd"]}
    assert make_variants(DIGITS, over, {})[1].label == "model.name=resnet20, optimizer.name=sgd"


def test_folder_names_are_plain_and_distinct():
    assert folder_of("norm=batch") == "norm=batch"
    assert folder_of("ops=[a, b]") != folder_of("ops=[a b]")
    assert "/" not in folder_of("weights=../x/y")
    assert len(folder_of("x" * 500)) < 80


def test_baseline_is_found_by_label_or_value():
    variants = make_variants(DIGITS, {"model.norm": ["batch", "group"]}, {})
    assert find_variant(variants, None).label == "norm=batch"
    assert find_variant(variants, "group") is find_variant(variants, "norm=group")
    with pytest.raises(UnknownNameError, match=r"'norm=grup' \(did you mean norm=group"):
        find_variant(variants, "norm=grup")


@pytest.mark.parametrize(
    ("recipes", "over", "changes", "said"),
    [
        (DIGITS, {"model.nrom": ["batch", "group"]}, {}, "did you mean model.norm"),
        (DIGITS, {"model.norm": ["batch", "bach"]}, {}, "bach"),
        (DIGITS, {"model.norm": ["batch"]}, {}, "two variants or more, and there is 1"),
        (DIGITS, None, {}, "two variants or more"),
        (DIGITS, {"model.norm": []}, {}, "no values to compare"),
        (DIGITS, {"model.norm": "batch"}, {}, "give a list of values"),
        (DIGITS, {"model.norm": ["group", "group"]}, {}, "are equal"),
        ([DIGITS, DIGITS], None, {}, "are equal"),
        (DIGITS, {"model.norm": ["batch", "group"]}, {"model.norm": "layer"}, "leave one of them out"),
        (DIGITS, {"train.seed": [1, 2]}, {}, "give seeds=5 instead"),
        (DIGITS, {"data.validation": [0.1, 0.2]}, {}, "same images and splits"),
        ([DIGITS, "resnet20_fashion"], None, {}, "data.name = 'digits'.*'fashion_mnist'"),
        ("resnet9_digits", {"model.norm": ["batch", "group"]}, {}, "did you mean resnet8_digits"),
    ],
)
def test_bad_variants_are_refused_with_the_reason(recipes, over, changes, said):
    with pytest.raises(RecipeError, match=said):
        make_variants(recipes, over, changes)


def test_pairs_of_different_lengths_are_refused():
    with pytest.raises(RecipeError, match=r"model.norm has 2, train.epochs has 1"):
        make_variants(DIGITS, {"model.norm": ["batch", "group"], "train.epochs": [3]}, {}, pairs=True)

"""Parsing of augmentations in a recipe: operations, parameters, order, and errors."""

from __future__ import annotations

import pytest

from cnnrecipes.augment.crops import PadCrop, RandomResizedCrop
from cnnrecipes.augment.erasing import Cutout
from cnnrecipes.augment.geometry import FlipLR
from cnnrecipes.augment.mixing import CutMix
from cnnrecipes.augment.operation import OPERATIONS, parse, parse_list
from cnnrecipes.errors import RecipeError, UnknownNameError
from cnnrecipes.recipe import catalog


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flip_lr", FlipLR(probability=0.5)),
        ("flip_lr()", FlipLR(probability=0.5)),
        ("flip_lr(1)", FlipLR(probability=1.0)),
        ("pad_crop(2)", PadCrop(padding=2, fill="mean")),
        ("pad_crop(2, 'reflect')", PadCrop(padding=2, fill="reflect")),
        ("pad_crop(fill=255, padding=0)", PadCrop(padding=0, fill=255)),
        ("random_resized_crop(224, scale=[0.1, 1])", RandomResizedCrop(size=224, scale=(0.1, 1.0))),
        (' cutout(size=8, fill="mean")\n', Cutout(size=8, fill="mean")),
    ],
)
def test_text_is_parsed_to_the_operation(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_has_default_parameters(name):
    assert parse(name) == parse(f"{name}()") == OPERATIONS[name]()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pad_crop(",
        "pad_crop; flip_lr",
        "pad_crop.x(4)",
        "'flip_lr'",
        "pad_crop(x)",
        "pad_crop(2 + 2)",
        "pad_crop(*[4])",
        "pad_crop(**{'padding': 4})",
        "pad_crop({[]: 4})",
        "__import__('os').getcwd()",
    ],
)
def test_text_that_is_not_a_call_with_literals_is_refused(text):
    with pytest.raises(RecipeError, match="cannot read the augmentation"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pad_crop(-1)", "padding is -1; it should be greater than or equal to 0"),
        ("pad_crop(4.0)", "padding is 4.0; .*integer"),
        ("pad_crop(True)", "padding is True; .*integer"),
        ("pad_crop(4, 256)", "fill is 256; .*'mean'.*255.*'reflect'"),
        ("cutout(8, 'reflect')", "fill is 'reflect'; .*'mean'"),
        ("cutout(0)", "size is 0; it should be greater than or equal to 1"),
        ("flip_lr(1.5)", "probability is 1.5; it should be less than or equal to 1"),
        ("flip_lr(-1e999)", "probability is -inf; it should be a finite number"),
        ("pad_crop(paddng=4)", r"no parameter 'paddng' \(did you mean padding\?\)"),
        ("pad_crop(4, padding=4)", "too many values; pad_crop takes padding, fill, each once"),
        ("random_resized_crop(scale=[1, 0.1])", r"scale is \[1, 0.1\]; it should be two numbers above 0, the smaller"),
        ("random_resized_crop(scale=[0.1, 2])", r"scale is \[0.1, 2\]; it should be two fractions of at most 1"),
        ("random_crop(224, short_side=200)", "short_side 200 is below the size"),
        ("flip_lr(0.5, 1)", "too many values; flip_lr takes probability"),
    ],
)
def test_invalid_parameter_raises_with_name_value_and_allowed_values(text, words):
    with pytest.raises(RecipeError, match=words):
        parse(text)


def test_unknown_operation_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match=r"'flip_rl' \(did you mean flip_lr or flip_ud\?\)"):
        parse("flip_rl")


def test_unreadable_operation_in_a_recipe_raises_a_recipe_error():
    with pytest.raises(RecipeError, match="augment.ops"):
        catalog.load("resnet20_cifar").change(**{"augment.ops": ["pad_crop(**{'padding': 4})"]})


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["flip_lr", "random_crop"], "'random_crop' crops while.*put it first"),
        (["random_crop", "random_resized_crop"], "put it first, and only one"),
        (["mixup", "flip_lr"], "'mixup' mixes.*put it last"),
    ],
)
def test_operations_in_an_invalid_position_are_refused(texts, words):
    with pytest.raises(RecipeError, match=words):
        catalog.load("resnet20_cifar").change(**{"augment.ops": texts})


def test_list_may_end_with_several_mixing_operations():
    assert parse_list(["flip_lr", "mixup", "cutmix"])[-1] == CutMix(alpha=1.0)

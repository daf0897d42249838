"""The comparison of stacked convolutions in Simonyan & Zisserman 2014, section 2.3."""

from __future__ import annotations

import pytest

import cnnrecipes as cr
from cnnrecipes.analysis.stacked_convolutions import compare_stacks


@pytest.mark.parametrize(("channels", "size"), [(64, 56), (3, 9)])
def test_stacks_match_the_figures_of_the_paper(channels, size):
    table = compare_stacks(channels, size)
    assert dict(table["parameters"] / channels**2) == {"one 5x5": 25, "two 3x3": 18, "one 7x7": 49, "three 3x3": 27}
    assert (table["multiply_adds"] == table["parameters"] * size * size).all()
    assert list(table["nonlinearities"]) == [1, 2, 1, 3]
    assert list(table["field"]) == ["5", "3 -> 5", "7", "3 -> 5 -> 7"]


def test_counts_are_integers():
    assert compare_stacks(2, 8)[["parameters", "multiply_adds", "nonlinearities"]].dtypes.eq("int64").all()


@pytest.mark.parametrize("given", [{"channels": 0}, {"size": 5.5}, {"channels": "64"}])
def test_invalid_size_is_refused(given):
    (name, value), *_ = given.items()
    with pytest.raises(cr.ModelError, match=f"{name} is {value!r}; give a positive integer"):
        compare_stacks(**given)

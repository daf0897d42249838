"""The table of all architectures."""

from __future__ import annotations

import pytest

import cnnrecipes as cr
from cnnrecipes.models import ARCHITECTURES, model_table
from cnnrecipes.models.architecture_sizes import SIZES


def test_every_architecture_has_a_row_with_its_size():
    table = model_table().set_index("model")
    assert list(table.index) == list(ARCHITECTURES)
    built_in = table.loc[[name for name in table.index if name in SIZES]]
    assert built_in.parameters.notna().all()
    assert set(table[table.imagenet_weights].index) == {name for name, row in ARCHITECTURES.items() if row.application}


@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v2", "mobilenet_v3_small"])
def test_stored_sizes_are_those_of_built_models(name):
    shape, classes = ARCHITECTURES[name].setting
    totals = cr.analysis.cost(cr.build(name, input_shape=shape, classes=classes)).attrs
    assert (totals["parameters"], totals["multiply_adds"]) == SIZES[name][:2]

"""Layer-wise learning rates for every architecture of the registry."""

from __future__ import annotations

import keras
import pytest

import cnnrecipes as cr
from cnnrecipes import models
from cnnrecipes.errors import TrainingError
from cnnrecipes.models.without_values import without_values
from cnnrecipes.optim.layer_rates import layer_rates, layers_after


def weight_layers_after(name, **options):
    """Layer name -> number of weight layers after it, which is the same for all variables of a layer."""
    with without_values():  # only the graph matters
        model = cr.build(name, input_shape=(32, 32, 3), classes=10, **options)
    after = layers_after(model)
    found = {}
    for layer in model.layers:
        numbers = {after[variable.path] for variable in layer.trainable_variables}
        if numbers:
            (found[layer.name],) = numbers
    assert len(after) == len(model.trainable_variables)
    return found


RESIDUAL = [name for name in models.own_architectures() if name.startswith(("resnet", "resnext", "wrn"))]


@pytest.mark.parametrize("name", RESIDUAL)
def test_shortcut_has_the_depth_of_the_last_convolution_of_its_block(name):
    """Its convolution and its norm have as many weight layers after them as the last convolution of the block."""
    found = weight_layers_after(name)
    shortcuts = [layer.removesuffix("_shortcut_conv") for layer in found if layer.endswith("_shortcut_conv")]
    for block in shortcuts:
        last = max(layer for layer in found if layer.startswith(f"{block}_conv"))
        assert found[f"{block}_shortcut_conv"] == found[last]
        assert found.get(f"{block}_shortcut_norm", found[last]) == found[last]
    for norm in (layer for layer in found if "_norm" in layer):
        # In pre-activation order a norm follows the sum of the previous block.
        follows = norm.replace("norm2", "conv1") if name.startswith("wrn") else norm.replace("norm", "conv")
        assert found[norm] == found.get(follows, found[norm]), norm
    # As many depths as the layers in the name; wide nets count two layers that are parallel to others.
    layers = int("".join(filter(str.isdigit, name.partition("_")[0])))
    assert set(found.values()) == set(range(layers - 2 * name.startswith("wrn")))


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("vgg11", {"head": "classic"}, {"stage1_1_conv": 10, "head_fc1": 2, "head_fc2": 1, "logits": 0}),
        ("plain18", {}, {"stem_conv": 17, "stem_norm": 17, "stage4_block2_norm2": 1, "logits": 0}),
        (
            "resnet18",
            {"squeeze_excite": 16},
            {
                "stem_conv": 33, "stem_norm": 33, "stage2_block1_conv2": 23, "stage2_block1_norm2": 23,
                "stage2_block1_se_reduce": 22, "stage2_block1_se_expand": 21, "stage2_block1_shortcut_conv": 21,
                "stage2_block1_shortcut_norm": 21, "logits": 0,
            },
        ),
        ("wrn16_4", {}, {"stem_conv": 13, "stage1_block1_norm1": 13, "last_norm": 1, "logits": 0}),
    ],
)  # fmt: skip
def test_stem_squeeze_excite_and_head_are_counted(name, options, expected):
    found = weight_layers_after(name, **options)
    assert {layer: found[layer] for layer in expected} == expected


def test_frozen_layer_is_counted():
    layers = [
        keras.Input((4,)),
        keras.layers.Dense(3, name="a"),
        keras.layers.Dense(3, name="b"),
        keras.layers.Dense(2),
    ]
    model = keras.Sequential(layers)
    model.get_layer("b").trainable = False
    assert layer_rates(model, 0.5)[model.get_layer("a").kernel.path] == 0.25


def test_nested_model_is_traversed():
    x = keras.Input((4,))
    inner = keras.Model(x, keras.layers.Dense(3, name="second")(keras.layers.Dense(3, name="first")(x)))
    y = keras.Input((4,))
    model = keras.Model(y, keras.layers.Dense(2, name="logits")(inner(y)))
    rates = layer_rates(model, 0.5)
    assert sorted(set(rates.values())) == [0.25, 0.5, 1.0]
    assert rates[inner.get_layer("first").kernel.path] == 0.25


def test_model_without_a_graph_is_refused():
    class Subclassed(keras.Model):
        pass

    assert layer_rates(Subclassed(), None) == {}
    with pytest.raises(
        TrainingError, match=r"optimizer.layer_decay needs the graph .* leave optimizer.layer_decay out"
    ):
        layer_rates(Subclassed(), 0.5)

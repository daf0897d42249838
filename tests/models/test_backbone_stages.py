"""Stages of every architecture: strides and channels of the papers, their layers, backbones, frozen stages."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.models import Backbone, backbone, own_architectures, stages
from cnnrecipes.models.without_values import without_values

BASIC = {"strides": (4, 8, 16, 32), "channels": (64, 128, 256, 512)}
BOTTLENECK = {"strides": (4, 8, 16, 32), "channels": (256, 512, 1024, 2048)}
CIFAR = {"strides": (1, 2, 4), "channels": (16, 32, 64)}
VGG = {"strides": (2, 4, 8, 16, 32), "channels": (64, 128, 256, 512, 512)}
PAPERS = {
    "alexnet": {"strides": (8, 16, 16, 16, 32), "channels": (64, 192, 384, 256, 256)},
    **{f"vgg{depth}": VGG for depth in (11, 13, 16, 19)},
    **{f"{kind}{depth}": BASIC for kind in ("resnet", "plain") for depth in (18, 34)},
    **{f"resnet{depth}": BOTTLENECK for depth in (50, 101, 152)},
    "resnext50": BOTTLENECK,
    **{f"resnet{depth}": CIFAR for depth in (8, 14, 20, 32, 44, 56, 110)},
    **{f"plain{depth}": CIFAR for depth in (20, 32, 44, 56, 110)},
    "wrn16_4": {"strides": (1, 2, 4), "channels": (64, 128, 256)},
    "wrn28_10": {"strides": (1, 2, 4), "channels": (160, 320, 640)},
    "fast_cnn": {"strides": (2, 4, 8), "channels": (128, 256, 512)},
}
# One of each family and variant, with few blocks.
NETS = [
    ("alexnet", {}),
    ("alexnet", {"stem": "cifar", "spatial_dropout": 0.1}),
    ("vgg11", {"widths": (8, 8, 8, 8, 8), "spatial_dropout": 0.1}),
    ("vgg11", {"widths": (8, 8, 8, 8, 8), "head": "classic"}),
    ("plain20", {}),
    ("resnet8", {"stochastic_depth": 0.1, "squeeze_excite": 4}),
    ("resnet8", {"variant": "v2", "norm": "none"}),
    ("resnet50", {"depths": (1, 2, 1), "widths": (16, 32, 64), "variant": "d", "pool": "blur"}),
    ("resnet50", {"depths": (1, 1, 1), "widths": (16, 32, 64), "variant": "v2", "dropout": 0.5}),
    ("resnext50", {"depths": (1, 1, 1), "widths": (64, 64, 128)}),
    ("wrn16_4", {"widths": (8, 16, 32)}),
    ("fast_cnn", {"widths": (8, 16, 32), "spatial_dropout": 0.1}),
]


def described(found) -> list[tuple]:
    return [
        (s.name, s.stride, s.channels, tuple(s.output.shape[1:]), [layer.name for layer in s.layers]) for s in found
    ]


def net(name: str, options: dict) -> keras.Model:
    return cr.build(name, input_shape=(64, 64, 3), classes=3, **{"head": "average", **options})


@pytest.mark.parametrize("name", own_architectures())
def test_stages_have_the_strides_and_channels_of_the_paper(name):
    with without_values():
        found = backbone(name, input_shape=(64, 64, 3)).stages
    assert tuple(stage.name for stage in found) == tuple(f"stage{i}" for i in range(1, len(found) + 1))
    assert tuple(stage.stride for stage in found) == PAPERS[name]["strides"]
    assert tuple(stage.channels for stage in found) == PAPERS[name]["channels"]
    for stage in found:
        pixels = 64 // stage.stride - (name == "alexnet")  # alexnet's poolings do not pad
        assert tuple(stage.output.shape) == (None, pixels, pixels, stage.channels)


@pytest.mark.parametrize(("name", "options"), NETS, ids=str)
def test_stem_stages_and_head_partition_the_layers(name, options):
    model = net(name, {"per_image": True, **options})
    found = Backbone.of(model)
    in_order = [*found.stem, *(layer for stage in found.stages for layer in stage.layers)]
    assert [layer.name for layer in model.layers[: len(in_order)]] == [layer.name for layer in in_order]
    head = [layer.name for layer in model.layers[len(in_order) :]]
    assert head[0] in ("pool", "head_flatten")
    assert head[-1] == "logits"
    assert {"images", "standardize"} <= {layer.name for layer in found.stem}
    assert [layer.name for layer in found.model.layers] == [layer.name for layer in in_order]


@pytest.mark.parametrize(("name", "options"), NETS, ids=str)
def test_loaded_model_has_the_same_stages(name, options, tmp_path):
    model = net(name, options)
    model.save(tmp_path / "model.keras")
    assert described(stages(keras.saving.load_model(tmp_path / "model.keras"))) == described(stages(model))


@pytest.mark.parametrize(("name", "options"), NETS, ids=str)
def test_backbone_is_the_model_without_its_head(name, options):
    options = {key: value for key, value in options.items() if key not in ("head", "dropout")}
    keras.utils.set_random_seed(0)
    alone = backbone(name, input_shape=(64, 64, 3), mean=(1, 2, 3), std=(4, 5, 6), **options)
    model = net(name, {"mean": (1, 2, 3), "std": (4, 5, 6), **options})
    assert described(alone.stages) == described(stages(model))
    of_model = Backbone.of(model).model
    alone.model.set_weights(of_model.get_weights())
    x = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    np.testing.assert_array_equal(alone.model(x), of_model(x))
    pooled, logits = np.mean(alone.model(x), (1, 2)), model(x).numpy()
    np.testing.assert_allclose(model.get_layer("logits")(pooled), logits, rtol=0, atol=1e-5 * np.abs(logits).max())


def test_backbone_of_another_size_accepts_the_weights_of_a_model():
    options = {"depths": (1, 1, 1, 1), "widths": (16, 32, 64, 128)}
    trained = cr.build("resnet50", input_shape=(32, 32, 3), classes=3, **options)
    larger = backbone("resnet50", input_shape=(75, 50, 3), **options)
    larger.model.set_weights(Backbone.of(trained).model.get_weights())
    pyramid = keras.Model(larger.model.input, [stage.output for stage in larger.stages])
    maps = pyramid(np.zeros((2, 75, 50, 3), "float32"))
    assert [tuple(m.shape) for m in maps] == [(2, 19, 13, 16), (2, 10, 7, 32), (2, 5, 4, 64), (2, 3, 2, 128)]


def test_early_stages_can_be_frozen():
    model = cr.build("resnet8", input_shape=(16, 16, 3), classes=3)
    found = Backbone.of(model)
    for layer in (*found.stem, *found.stages[0].layers, *found.stages[1].layers):
        layer.trainable = False
    trained = {weight.path.split("/")[0] for weight in model.trainable_weights}
    assert trained == {f"stage3_block1_{part}" for part in ("conv1", "norm1", "conv2", "norm2")} | {"logits"}


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("resnet50", "expected a keras.Model, got str; give a model of cnnrecipes.build"),
        (keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)], name="mlp"), "mlp has no stages.*named stage1_"),
    ],
)
def test_model_without_stages_is_refused(model, words):
    with pytest.raises(cr.ModelError, match=words):
        stages(model)

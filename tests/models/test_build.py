"""`build`: input shapes, standardization, custom parts, and errors."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.layers import norm

CIFAR = {"input_shape": (32, 32, 3), "classes": 10}


@pytest.mark.parametrize("shape", [(8, 8, 1), (33, 47, 3)])
def test_build_accepts_any_size_and_number_of_channels(shape):
    model = cr.build("resnet8", input_shape=shape, classes=7)
    assert model(np.zeros((2, *shape), np.uint8)).shape == (2, 7)


def test_first_layer_standardizes_and_logits_are_float32():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = cr.build("resnet8", input_shape=(8, 8, 3), classes=2, mean=(100, 110, 120), std=(50, 60, 70))
    finally:
        keras.config.set_dtype_policy("float32")
    standardized = keras.Model(model.inputs, model.get_layer("standardize").output)(images)
    np.testing.assert_allclose(standardized, (images - np.array([100.0, 110, 120])) / [50, 60, 70], atol=1e-5)
    assert standardized.dtype == model(images).dtype == "float32"


def test_custom_norm_is_used_everywhere():
    model = cr.build("resnet8", norm=keras.layers.BatchNormalization, **CIFAR)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {type(layer) for layer in norms} == {keras.layers.BatchNormalization}
    assert len(norms) == 7


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("resnet21", {}, "resnet21.*did you mean"),
        ("vgg16", {"stem": "cifar"}, "vgg16 has no stem to choose.*it has.*head"),
        ("alexnet", {"stochastic_depth": 0.1}, "alexnet has no stochastic_depth"),
        ("resnet18", {"depths": (2, 2, 2)}, r"3 stages in depths \[2, 2, 2\] but 4 in widths \[64, 128, 256, 512\]"),
        ("vgg11", {"widths": [8, 8]}, "5 stages in depths.*2 in widths"),
        ("plain20", {"zero_init_residual": True}, "zero_init_residual.*shortcut 'none'"),
        ("resnet18", {"zero_init_residual": True, "variant": "v2"}, "zero_init_residual.*variant 'v2'"),
        ("plain20", {"stochastic_depth": 0.5}, "without shortcuts nothing"),
        ("resnet8", {"init": "he_normall"}, "he_normall.*did you mean he_normal"),
        ("resnet8", {"init": "fixed"}, r"write fixed\(0.01\)"),
        ("resnet8", {"init": "fixed(-1)"}, "'-1' is not a positive number"),
        ("resnet8", {"activation": "rleu"}, "rleu.*relu"),
        ("resnet8", {"pool": "mx"}, "mx.*max"),
        ("resnet8", {"norm": "instance", "input_shape": (4, 4, 3)}, "a group of one value.*larger image"),
        ("resnet20", {"pool": "blur"}, "nothing is pooled after the CIFAR stem"),
        ("resnet8", {"mean": (1, 2, 3)}, "std is None; give mean and std as 3 numbers"),
        ("resnet8", {"mean": (1, 2), "std": (1, 2)}, "mean is \\(1, 2\\); give mean and std as 3 numbers"),
        (
            "resnet8",
            {"mean": (1, 2, 3), "std": (1, 0, 1)},
            "std is \\(1, 0, 1\\); give 1 for a channel that never changes",
        ),
        ("resnet8", {"norm": 5}, "norm is 5; give a name, as for the recipe key model.norm, or a factory"),
        ("resnet8", {"init": 0.1}, "init is 0.1; give a name"),
        ("resnet8", {"norm": lambda name: None}, "does not take gamma_initializer="),
        ("resnet8", {"widths": (32, 16, 8)}, "shortcut A adds channels and cannot make 32 into 16; take B or C"),
        ("resnet8", {"depths": 3}, r"model.depths = 3; give a list, for example \[3\]"),
        (None, {}, "the model is None; give an architecture's name"),
        ("alexnet", {}, "32x32 is less than 63x63"),
        ("alexnet", {"input_shape": (14, 14, 3), "stem": "cifar"}, "14x14 is less than 15x15"),
        ("fast_cnn", {"input_shape": (7, 9, 3)}, "7x9 is less than 8x8"),
        ("vgg16", {"input_shape": (16, 64, 3)}, "16x64.*32x32"),
        ("resnet8", {"classes": 1}, "1 class.*at least 2"),
        ("resnet8", {"input_shape": (32, 32)}, r"\(32, 32\).*height, width, channels"),
        ("resnet8", {"nrom": "batch"}, "nrom.*model.norm"),
        ("resnet8", {"norm": "bach"}, "bach.*batch"),
        ("resnet8", {"dropout": 1.5}, "dropout.*1.5.*less than 1"),
        ("resnet8", {"norm": "group", "norm_groups": 5}, r"groups \(5\).*channels \(16\).*divisor of 16"),
    ],
)
def test_invalid_model_raises_with_a_remedy(name, changes, words):
    with pytest.raises(cr.CNNRecipesError, match=words):
        cr.build(name, **{**CIFAR, **changes})


def test_fused_batch_norm_is_the_default():
    assert type(norm("batch")(name="n")) is cr.build("resnet8", **CIFAR).get_layer("stem_norm").__class__


def test_custom_parts_may_be_layers_functions_or_initializers():
    parts = {"activation": keras.activations.relu6, "init": keras.initializers.GlorotNormal(seed=1)}
    model = cr.build("resnet8", **CIFAR, **parts)
    assert model.get_layer("stem_act").activation is keras.activations.relu6
    first, second = (model.get_layer(f"stage1_block1_conv{i}") for i in (1, 2))
    assert isinstance(first.kernel_initializer, keras.initializers.GlorotNormal)
    assert np.abs(first.kernel - second.kernel).max() > 0.01
    layers = cr.build("resnet8", activation=keras.layers.PReLU, input_shape=np.array([16, 16, 3]), classes=3).layers
    assert sum(isinstance(layer, keras.layers.PReLU) for layer in layers) == 7

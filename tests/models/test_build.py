"""Architectures: the published sizes, and what a model takes and gives."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnnrecipes as cr
from cnnrecipes.layers import norm

IMAGENET = {"input_shape": (224, 224, 3), "classes": 1000}
CIFAR = {"input_shape": (32, 32, 3), "classes": 10}


def trainable_parameters(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


@pytest.mark.parametrize(
    ("name", "options", "published"),
    [
        # He et al. 2015, table 6, to the digit as counted by akamaster/pytorch_resnet_cifar10
        ("resnet20", CIFAR, 269_722),
        ("resnet32", CIFAR, 464_154),
        ("resnet44", CIFAR, 658_586),
        ("resnet56", CIFAR, 853_018),
        ("resnet110", CIFAR, 1_727_962),
        # torchvision
        ("resnet18", IMAGENET, 11_689_512),
        ("resnet34", IMAGENET, 21_797_672),
        ("resnet50", IMAGENET, 25_557_032),
        ("resnet101", IMAGENET, 44_549_160),
        ("resnet152", IMAGENET, 60_192_808),
        # kuangliu/pytorch-cifar
        ("resnet18", {**CIFAR, "stem": "cifar"}, 11_173_962),
        # the same, less the biases of convolutions that a norm follows: 14,728,266 - 4,224
        ("vgg16", CIFAR, 14_724_042),
    ],
)
def test_parameter_counts_are_the_published_ones(name, options, published):
    assert trainable_parameters(cr.build(name, **options)) == published


@pytest.mark.parametrize("kind", ["batch", "layer", "instance", "group", "channel", "none"])
@pytest.mark.parametrize("name", ["resnet8", "vgg16"])
def test_every_weight_gets_a_gradient(name, kind):
    keras.utils.set_random_seed(0)
    # instance norm of one pixel is 0 whatever the weights, so VGG needs an image that leaves two
    size = 64 if name == "vgg16" else 16
    model = cr.build(name, input_shape=(size, size, 3), classes=3, norm=kind, zero_init_residual=False)
    images = tf.constant(np.random.default_rng(0).uniform(0, 2, (4, size, size, 3)), "float32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(images, training=True) * tf.constant([1.0, -2.0, 3.0]))
    for weight, gradient in zip(
        model.trainable_weights, tape.gradient(loss, [w.value for w in model.trainable_weights]), strict=True
    ):
        assert gradient is not None, weight.path
        assert np.abs(gradient).max() > 0, weight.path


@pytest.mark.parametrize("shape", [(8, 8, 1), (33, 47, 3)])
def test_any_size_and_channels_that_the_strides_allow(shape):
    model = cr.build("resnet8", input_shape=shape, classes=7)
    assert model(np.zeros((2, *shape), np.uint8)).shape == (2, 7)


def test_the_first_layer_standardizes_and_logits_are_float32():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = cr.build("resnet8", input_shape=(8, 8, 3), classes=2, mean=(100, 110, 120), std=(50, 60, 70))
    finally:
        keras.config.set_dtype_policy("float32")
    standardized = keras.Model(model.inputs, model.get_layer("standardize").output)(images)
    np.testing.assert_allclose(standardized, (images - np.array([100.0, 110, 120])) / [50, 60, 70], atol=1e-5)
    assert standardized.dtype == model(images).dtype == "float32"


def test_a_norm_of_ones_own_is_used_everywhere():
    model = cr.build("resnet8", norm=keras.layers.BatchNormalization, **CIFAR)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {type(layer) for layer in norms} == {keras.layers.BatchNormalization}
    assert len(norms) == 7


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("resnet21", {}, "resnet21.*did you mean"),
        ("resnet20", {"stem": "imagenet"}, "no ImageNet stem"),
        ("vgg16", {"stem": "cifar"}, "no stem"),
        ("vgg16", {"input_shape": (16, 64, 3)}, "16x64.*32x32"),
        ("resnet8", {"classes": 1}, "1 class.*at least 2"),
        ("resnet8", {"input_shape": (32, 32)}, r"\(32, 32\).*height, width, channels"),
        ("resnet8", {"nrom": "batch"}, "nrom.*model.norm"),
        ("resnet8", {"norm": "bach"}, "bach.*batch"),
        ("resnet8", {"dropout": 1.5}, "dropout.*1.5.*less than 1"),
        ("resnet8", {"norm": "group", "norm_groups": 5}, "5 groups.*16 channels"),
    ],
)
def test_what_cannot_be_built_is_explained(name, changes, words):
    with pytest.raises(cr.CNNRecipesError, match=words):
        cr.build(name, **{**CIFAR, **changes})


def test_the_fused_norm_is_the_default():
    assert type(norm("batch")(name="n")) is cr.build("resnet8", **CIFAR).get_layer("stem_norm").__class__

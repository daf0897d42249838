"""No weight is dead: with the defaults of every architecture each has a gradient, or moves after the first step.

A zero last gamma hides the layers before it from the first gradient, and only from the first. Therefore the first step
is tested on the layers that no such gamma hides, and 20 steps on all.
"""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnnrecipes as cr
from cnnrecipes.models import own_architectures

ARCHITECTURES = own_architectures()

NORMS = (keras.layers.BatchNormalization, keras.layers.GroupNormalization, keras.layers.LayerNormalization)
SCALES = (*NORMS, keras.layers.EinsumDense)


def build(name: str, channels: int = 3, **options) -> keras.Model:
    """An architecture with its defaults, for images small enough to be fast: final maps of 2x2 pixels or more."""
    size = 63 if name == "alexnet" else 16 if ARCHITECTURES[name].setting.classes == 10 else 64
    if len(options.get("depths", ())) == 2:
        size = 16
    keras.utils.set_random_seed(0)
    return cr.build(name, input_shape=(size, size, channels), classes=3, **options)


def images(model: keras.Model, count: int = 8) -> np.ndarray:
    """Standardized noise, where each image has its own mean color."""
    random = np.random.default_rng(0)
    *_, channels = shape = model.input_shape[1:]
    return (random.normal(size=(count, *shape)) + random.normal(size=(count, 1, 1, channels))).astype("float32")


def narrow(name: str) -> dict:
    """Options that make a wide net a quarter as wide; all blocks, shortcuts and other defaults stay.

    ResNeXt becomes half as wide: in groups of one channel the next norm would cancel the gamma before them.
    """
    widths, part = ARCHITECTURES[name].options.get("widths", (0,)), 2 if name.startswith("resnext") else 4
    return {"widths": tuple(width // part for width in widths)} if widths[-1] > 256 else {}


def shallow(name: str) -> dict:
    """In addition two blocks per stage: one that changes the shape, and one that does not.

    ResNeXt has only its first two stages, since gradients of grouped convolutions are slow on a CPU.
    """
    options = {"widths": ARCHITECTURES[name].options.get("widths"), **narrow(name)}
    if not options["widths"]:
        return {}
    stages = 2 if name.startswith("resnext") else None
    depths = tuple(min(depth, 2) for depth in ARCHITECTURES[name].options["depths"])
    return {"depths": depths[:stages], "widths": options["widths"][:stages]}


def shallow_rows() -> Iterable[str]:
    """One name for each distinct net among the shallow ones: ResNet-20 to 110 become identical."""
    different: dict[str, str] = {}
    for name, row in ARCHITECTURES.items():
        builder = getattr(row.features, "func", row.features), getattr(row.features, "keywords", {})
        different.setdefault(repr((builder, sorted({**row.options, **shallow(name)}.items()))), name)
    return different.values()


def assert_each_moves(model: keras.Model, moves: dict[str, np.ndarray]) -> None:
    """Every channel of a norm or scale, and every other weight, moves.

    Without normalization per channel over the batch, some channels are by chance negative for a whole small batch, so
    that a ReLU hides them: up to 6 in 100 of VGG's; padding with zeros would hide half or more.
    """
    for layer in model.layers:
        by_chance = 0.0 if isinstance(layer, keras.layers.BatchNormalization) else 0.1
        for weight in layer.trainable_weights:
            if (move := moves.get(weight.path)) is None:
                continue
            assert np.isfinite(move).all(), weight.path
            still = int(np.sum(move == 0))
            assert still < move.size, f"{weight.path}: nothing moves"
            if isinstance(layer, SCALES):
                assert still <= by_chance * move.size, f"{weight.path}: {still} of {move.size} channels do not move"


def first_gradients(model: keras.Model) -> dict[str, np.ndarray]:
    """The gradients of the first step, except those of layers that a zero last gamma or factor hides."""
    zero = {
        layer.name for layer in model.layers if isinstance(layer, SCALES) and not np.any(layer.trainable_weights[0])
    }
    blocks = tuple(name.rpartition("_")[0] + "_" for name in zero)
    hidden = {
        weight.path
        for layer in model.layers
        for weight in layer.trainable_weights
        if layer.name.startswith(blocks) and layer.name not in zero and "_shortcut" not in layer.name
    }
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(images(model), training=True) * tf.constant([1.0, -2.0, 3.0]))
    found = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    pairs = zip(model.trainable_weights, found, strict=True)
    return {weight.path: np.asarray(gradient) for weight, gradient in pairs if weight.path not in hidden}


def moves_of_training(model: keras.Model, steps: int = 20) -> dict[str, np.ndarray]:
    """The largest distance of each weight from its initial value in `steps` of SGD with momentum on random labels.

    Not the final distance: so few float32 values surround a gamma near 1 that some return to it by chance.
    """
    before = {weight.path: weight.numpy() for weight in model.trainable_weights}
    moves = {path: np.zeros_like(value) for path, value in before.items()}
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=1.0)
    optimizer.build(model.trainable_weights)
    x, loss = images(model), keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def step(y):
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        optimizer.apply(tape.gradient(value, [w.value for w in model.trainable_weights]), model.trainable_weights)

    for labels in np.random.default_rng(1).integers(0, 3, (steps, len(x))):
        step(tf.constant(labels))
        for weight in model.trainable_weights:
            moves[weight.path] = np.maximum(moves[weight.path], np.abs(weight.numpy() - before[weight.path]))
    return moves


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_weight_has_a_gradient_with_the_defaults(name):
    model = build(name, **narrow(name))
    assert_each_moves(model, first_gradients(model))


@pytest.mark.parametrize("name", shallow_rows())
def test_every_weight_moves_in_twenty_steps_with_the_defaults(name):
    model = build(name, **shallow(name))
    assert_each_moves(model, moves_of_training(model))


VARIANTS = [
    {"zero_init_residual": True},
    {"zero_init_residual": False},
    *({"norm": kind} for kind in ("batch", "layer", "instance", "group", "channel", "none")),
    *({"activation": name} for name in ("leaky_relu", "elu", "gelu", "silu", "mish", "tanh", "sigmoid")),
    {"squeeze_excite": 4},
    {"stochastic_depth": 0.2},
    *({"variant": name} for name in ("v1", "v2", "d")),
    *({"variant": variant, "shortcut": name} for variant in ("v1.5", "v2", "d") for name in ("B", "C")),
    {"channels": 1},
]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_every_weight_moves_in_twenty_steps_with_a_variant(options):
    model = build("resnet8", **options)
    assert_each_moves(model, moves_of_training(model))


@pytest.mark.parametrize("kind", ["batch", "layer", "instance", "group", "channel", "none"])
@pytest.mark.parametrize("name", ["vgg16", "wrn16_4"])
def test_every_weight_has_a_gradient_with_every_norm(name, kind):
    # instance norm of one pixel is 0 for all weights, so VGG needs an image that leaves two
    size = 64 if name == "vgg16" else 16
    keras.utils.set_random_seed(0)
    model = cr.build(name, input_shape=(size, size, 3), classes=3, norm=kind, head="average")
    assert_each_moves(model, first_gradients(model))

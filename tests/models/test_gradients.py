"""No weight is dead: with the defaults of the architectures each has a gradient, or moves after the first step.

A zero last gamma hides the layers before it from the first gradient, and only from the first. Therefore the first step
is tested on the layers that no such gamma hides, and 20 steps on all. The models of the first step, the shallowest
and the deepest of the published ones, also compute in mixed precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import keras
import numpy as np
import pytest
import tensorflow as tf
from light_models import builder, ends_of_depth, narrow

import cnnrecipes as cr
from cnnrecipes.models import own_architectures
from cnnrecipes.models.without_values import without_values

ARCHITECTURES = own_architectures()

NORMS = (keras.layers.BatchNormalization, keras.layers.GroupNormalization, keras.layers.LayerNormalization)
SCALES = (*NORMS, keras.layers.EinsumDense)


def build(name: str, channels: int = 3, **options) -> keras.Model:
    """An architecture with its defaults, for images small enough to be fast: final maps of 2x2 pixels or more."""
    sizes = {"alexnet": 63, **{f"vgg{depth}": 64 for depth in (11, 13, 16, 19)}}
    # A residual network rounds up when it halves 33 pixels five times.
    size = sizes.get(name, 16 if ARCHITECTURES[name].setting.classes == 10 else 33)
    if len(options.get("depths", ())) == 2:
        size = 16
    keras.utils.set_random_seed(0)
    return cr.build(name, input_shape=(size, size, channels), classes=3, **options)


def images(model: keras.Model, count: int = 8) -> np.ndarray:
    """Standardized noise, where each image has its own mean color."""
    random = np.random.default_rng(0)
    *_, channels = shape = model.input_shape[1:]
    return (random.normal(size=(count, *shape)) + random.normal(size=(count, 1, 1, channels))).astype("float32")


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
        different.setdefault(repr((builder(name), sorted({**row.options, **shallow(name)}.items()))), name)
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


def assert_each_moves_in_training(model: keras.Model, steps: int = 20) -> None:
    """Train until every weight was at some time apart from its initial value, for `steps` at most.

    SGD with momentum on random labels. Not the final distance counts: so few float32 values surround a gamma near 1
    that some return to it by chance.
    """
    before = {weight.path: weight.numpy() for weight in model.trainable_weights}
    moves = {path: np.zeros_like(value) for path, value in before.items()}
    step = training_step(model)
    for k, labels in enumerate(np.random.default_rng(1).integers(0, 3, (steps, 8)), start=1):
        step(tf.constant(labels))
        for weight in model.trainable_weights:
            moves[weight.path] = np.maximum(moves[weight.path], np.abs(weight.numpy() - before[weight.path]))
        try:
            return assert_each_moves(model, moves)
        except AssertionError:
            if k == steps:
                raise


def training_step(model: keras.Model) -> Callable[[tf.Tensor], None]:
    """A training step as a function of labels: eager, since a few steps take less time than the tracing of one.

    Grouped convolutions need the graph: eagerly, Keras compiles each of them at each call.
    """
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=1.0)
    optimizer.build(model.trainable_weights)
    x, loss = tf.constant(images(model)), keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def step(y):
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        optimizer.apply(tape.gradient(value, [w.value for w in model.trainable_weights]), model.trainable_weights)

    grouped = any(getattr(layer, "groups", 1) > 1 and hasattr(layer, "kernel") for layer in model.layers)
    return tf.function(step, autograph=False) if grouped else step


def whole_net(name: str) -> dict:
    """Options of a narrow net; ResNeXt, whose grouped convolutions Keras compiles at each call, has fewer blocks."""
    return {**narrow(name), **({"depths": (2, 1, 1, 1)} if name.startswith("resnext") else {})}


@pytest.fixture(scope="module", params=ends_of_depth(ARCHITECTURES))
def initial(request) -> keras.Model:
    """An architecture at its full depth with initial weights; tests leave them unchanged."""
    return build(request.param, **whole_net(request.param))


def test_every_weight_has_a_gradient_with_the_defaults(initial):
    assert_each_moves(initial, first_gradients(initial))


def test_mixed_precision_has_float32_weights_and_close_logits(initial):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        with without_values():  # it computes with the weights of the other
            mixed = build(initial.name, **whole_net(initial.name))
    finally:
        keras.config.set_dtype_policy("float32")
    assert {weight.dtype for weight in mixed.trainable_weights} == {"float32"}
    x = np.random.default_rng(0).uniform(0, 2, (4, *initial.input_shape[1:])).astype("float32")
    expected = initial(x).numpy()
    values = ([v.value for v in kind] for kind in (initial.trainable_variables, initial.non_trainable_variables))
    logits, _ = mixed.stateless_call(*values, x)
    assert logits.dtype == "float32"
    assert np.abs(logits - expected).max() < 0.1 * np.abs(expected).max() + 0.01


@pytest.mark.parametrize("name", shallow_rows())
def test_every_weight_moves_in_twenty_steps_with_the_defaults(name):
    assert_each_moves_in_training(build(name, **shallow(name)))


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
    assert_each_moves_in_training(build("resnet8", **options))


@pytest.mark.parametrize("kind", ["batch", "layer", "instance", "group", "channel", "none"])
@pytest.mark.parametrize("name", ["vgg16", "wrn16_4"])
def test_every_weight_has_a_gradient_with_every_norm(name, kind):
    model = build(name, norm=kind, head="average", **narrow(name))
    assert_each_moves(model, first_gradients(model))

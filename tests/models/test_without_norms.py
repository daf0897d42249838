"""Residual networks without norms: small initial branches (SkipInit), training, weight decay, saving."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
from light_models import ends_of_depth

import cnnrecipes as cr
from cnnrecipes.keras_optim.recipe_optimizer import build_optimizer
from cnnrecipes.layers import with_keras_norms
from cnnrecipes.models import own_architectures
from cnnrecipes.recipe import schema

ARCHITECTURES = own_architectures()

RESIDUAL = [name for name, row in ARCHITECTURES.items() if row.options.get("shortcut", "none") != "none"]
VARIANTS = [
    *((name, {}) for name in ends_of_depth(RESIDUAL)),
    ("fast_cnn", {}),
    # Without v2 and C: its projections are not separated by a ReLU, and he_normal doubles the variance at each.
    *(("resnet20", {"variant": variant, "shortcut": s}) for variant in ("v1", "d") for s in "ABC"),
    *(("resnet20", {"variant": "v2", "shortcut": s}) for s in "AB"),
    ("resnet50", {"variant": "v2"}),
    ("resnet20", {"squeeze_excite": 4}),
]


def build(name: str, **options) -> keras.Model:
    size = 16 if ARCHITECTURES[name].setting.classes == 10 else 32
    keras.utils.set_random_seed(0)
    return cr.build(name, input_shape=(size, size, 3), classes=10, **options)


def deviation(model: keras.Model) -> float:
    """Of the logits of a training batch of standardized noise, where each image has its own mean color."""
    random = np.random.default_rng(0)
    x = random.normal(size=(8, *model.input_shape[1:])) + random.normal(size=(8, 1, 1, 3))
    return float(np.std(model(x.astype("float32"), training=True)))


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_initial_logits_have_a_scale_close_to_those_with_batch_norm(name, options):
    widths = ARCHITECTURES[name].options["widths"]
    if widths[-1] > 256:
        options = {"widths": tuple(width // 4 for width in widths), **options}
    without = deviation(build(name, norm="none", **options))
    # With batch norm, blocks start as their shortcuts, except in v2: as the identity, if not the first of their stage.
    row = {**ARCHITECTURES[name].options, **options}
    deep = row.get("variant", "v2") == "v2" or row["shortcut"] == "C"
    one_block = {} if deep else {"depths": (1,) * len(widths)}
    with_norms = deviation(build(name, norm="batch", **{**options, **one_block}))
    assert with_norms / 5 < without < with_norms * 5


def test_unscaled_branches_give_huge_logits():
    assert deviation(build("resnet20", norm="none", branch_scale="none")) > 10


@pytest.mark.parametrize("name", ["plain20", "vgg11", "alexnet"])
def test_networks_without_shortcuts_have_no_branch_scale(name):
    model = cr.build(name, input_shape=(64, 64, 3), classes=3, norm="none", head="average")
    assert not any(isinstance(layer, keras.layers.EinsumDense) for layer in model.layers)


def test_branch_scale_starts_at_one_only_if_the_shortcut_adds_channels():
    model = build("resnet14", norm="none")
    starts = {layer.name: layer.kernel.numpy() for layer in model.layers if isinstance(layer, keras.layers.EinsumDense)}
    ones = {name for name, kernel in starts.items() if np.all(kernel == 1)}
    assert ones == {"stage2_block1_scale", "stage3_block1_scale"}
    assert all(np.all(kernel == 0) for name, kernel in starts.items() if name not in ones)
    assert len(starts) == 6


def test_branch_scale_multiplies_channels_like_einsum_dense():
    model = build("resnet8", norm="none", branch_scale="skipinit")
    ours = next(layer for layer in model.layers if isinstance(layer, keras.layers.EinsumDense))
    theirs = keras.layers.EinsumDense.from_config(ours.get_config())
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 16)).astype("float32")
    theirs.build(x.shape)
    for layer in (ours, theirs):
        layer.set_weights([np.arange(16, dtype="float32")])
    np.testing.assert_allclose(ours(x), x * np.arange(16), rtol=1e-6)
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-6)


def test_branch_scales_and_biases_have_no_weight_decay():
    model = build("resnet8", norm="none")
    made = build_optimizer(schema.Optimizer(weight_decay=0.1), model, 0.1)
    made.build(model.trainable_variables)
    decayed = {v.path for v in model.trainable_variables if made._use_weight_decay(v)}
    assert decayed == {v.path for v in model.trainable_variables if len(v.shape) > 1}
    assert not any("_scale/" in path for path in decayed)


def test_model_without_norms_loads_without_cnnrecipes(tmp_path):
    model = build("resnet8", norm="none")
    model.get_layer("stage1_block1_scale").set_weights([np.linspace(0, 1, 16)])
    with_keras_norms(model).save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    code = (
        "import sys, keras, numpy as np; folder = sys.argv[1]\n"
        "logits = keras.saving.load_model(folder + '/model.keras')(np.load(folder + '/x.npy'))\n"
        "assert 'cnnrecipes' not in sys.modules; np.save(folder + '/y.npy', logits)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model(x), atol=1e-5)


def test_model_without_norms_learns_at_the_default_rate(tmp_path):
    changes = {"model.norm": "none", "train.epochs": 4}
    run = cr.fit("resnet8_digits", workdir=tmp_path, progress=False, **changes)
    assert run.recipe.optimizer.learning_rate == 0.1
    assert run.metrics["validation"]["accuracy"] > 0.8


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("plain20", {"branch_scale": "skipinit"}, "branch_scale needs shortcuts, got shortcut 'none'"),
        ("resnet20", {"branch_scale": "skipinit", "zero_init_residual": True}, "two factors of 0 hide each other"),
        ("vgg11", {"branch_scale": "skipinit"}, "vgg11 has no branch_scale to choose"),
    ],
)
def test_invalid_branch_scale_is_refused(name, options, words):
    with pytest.raises(cr.ModelError, match=words):
        cr.build(name, input_shape=(32, 32, 3), classes=10, **options)

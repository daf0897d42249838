"""A new architecture, family or head is one file outside the package."""

from __future__ import annotations

import importlib

import keras
import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.models import ARCHITECTURES, HEADS, Architecture, families, find, heads, register, registry, stages

ROW = """
import dataclasses
from cnnrecipes.models import find, register

resnet = find("resnet20")
register("resnet26", dataclasses.replace(resnet, options={**resnet.options, "depths": (4, 4, 4)}, published=()))
"""
FAMILY = '''
"""All convolutional nets (Springenberg et al. 2014, arXiv:1412.6806, table 1, model C without pooling)."""

from cnnrecipes.layers import conv_norm_act, dropout
from cnnrecipes.models import CIFAR, Architecture, check_stages, register


def features(x, spec, factories):
    check_stages(spec)
    for s, (depth, width) in enumerate(zip(spec.depths, spec.widths), start=1):
        for i in range(1, depth + 1):
            stride = 2 if i == depth else 1
            x = conv_norm_act(x, width, stride=stride, factories=factories, name=f"stage{s}_{i}")
        x = dropout(x, spec.block_dropout, name=f"stage{s}_dropout")
    return x


register(
    "all_cnn",
    Architecture(
        features=features,
        options={"depths": (3, 3), "widths": (96, 192), "block_dropout": 0.5},
        source="Springenberg et al. 2014, table 1",
        setting=CIFAR,
    ),
)
'''
HEAD = """
import keras
from cnnrecipes.models import heads, register_head

def two_poolings(x, classes, *, dropout, factories):
    average, maximum = (keras.layers.GlobalAveragePooling2D()(x), keras.layers.GlobalMaxPooling2D()(x))
    return heads.logits(keras.layers.Concatenate()([average, maximum]), classes, factories)

register_head("two_poolings", two_poolings)
"""


@pytest.fixture(autouse=True)
def _restored_registries(monkeypatch):
    """Remove what a test registers."""
    rows, known_heads = dict(registry._ROWS), dict(heads._ROWS)
    yield
    for kept, known in ((registry._ROWS, rows), (heads._ROWS, known_heads)):
        kept.clear()
        kept.update(known)


def import_file(text: str, name: str, folder, monkeypatch) -> None:
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    importlib.import_module(name)


def train_one_step(model: keras.Model) -> None:
    random = np.random.default_rng(0)
    images = random.uniform(0, 255, (8, *model.input_shape[1:]))
    before = [weight.numpy() for weight in model.trainable_weights]
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images, random.integers(0, 3, 8), batch_size=8, verbose=0)
    after = [weight.numpy() for weight in model.trainable_weights]
    assert all(np.isfinite(b).all() for b in after)
    assert any(np.any(a != b) for a, b in zip(before, after, strict=True))


def test_plugin_row_is_built_and_trained(tmp_path, monkeypatch):
    import_file(ROW, "outside_row", tmp_path, monkeypatch)
    model = cr.build("resnet26", input_shape=(16, 16, 3), classes=3, per_image=True)
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == 25
    train_one_step(model)


def test_plugin_family_is_built_and_trained(tmp_path, monkeypatch):
    import_file(FAMILY, "outside_family", tmp_path, monkeypatch)
    model = cr.build("all_cnn", input_shape=(16, 16, 3), classes=3, norm="group", widths=(8, 16), per_image=True)
    assert [(stage.name, stage.stride, stage.channels) for stage in stages(model)] == [
        ("stage1", 2, 8),
        ("stage2", 4, 16),
    ]
    train_one_step(model)
    with pytest.raises(cr.ModelError, match="all_cnn has no stem to choose"):
        cr.build("all_cnn", input_shape=(16, 16, 3), classes=3, stem="cifar")
    with pytest.raises(cr.UnknownNameError, match="all_cn.*did you mean all_cnn"):
        find("all_cn")


def test_recipe_trains_a_plugin_family(tmp_path, monkeypatch):
    import_file(FAMILY, "outside_family_of_a_recipe", tmp_path, monkeypatch)
    changes = {"model.name": "all_cnn", "model.widths": [8, 16], "train.epochs": 1}
    run = cr.fit("resnet8_digits", workdir=tmp_path / "runs", progress=False, **changes)
    assert [stage.stride for stage in stages(keras.saving.load_model(run.folder / "model.keras"))] == [2, 4]


def test_module_in_the_families_folder_is_found(tmp_path, monkeypatch):
    (tmp_path / "all_cnn.py").write_text(FAMILY)
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path)])
    families.load()
    assert ARCHITECTURES["all_cnn"].source.startswith("Springenberg")


def test_plugin_head_is_built_and_trained(tmp_path, monkeypatch):
    import_file(HEAD, "outside_head", tmp_path, monkeypatch)
    model = cr.build("resnet8", input_shape=(16, 16, 3), classes=3, head="two_poolings", per_image=True)
    assert model.get_layer("logits").kernel.shape == (128, 3)
    train_one_step(model)
    same = cr.build("resnet8", input_shape=(16, 16, 3), classes=3, head=HEADS["two_poolings"])
    assert same.count_params() == model.count_params()


def test_duplicate_names_and_unknown_options_are_refused():
    row = find("resnet20")
    with pytest.raises(cr.RegistrationError, match="'resnet20' is registered already; choose another name"):
        register("resnet20", row)
    assert register("resnet20", row, replace=True) is row
    with pytest.raises(cr.RegistrationError, match=r"'mine' has options \['depth'\].*use name, weights"):
        register("mine", Architecture(features=row.features, options={"depth": 3}, source="", setting=row.setting))
    with pytest.raises(cr.UnknownNameError, match="averge.*average"):
        cr.build("resnet8", input_shape=(16, 16, 3), classes=3, head="averge")

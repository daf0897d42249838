"""`model.name = "auto"`."""

from __future__ import annotations

import pytest

import cnnrecipes as cr
from cnnrecipes.models import find, resolved
from cnnrecipes.recipe import schema


def test_named_architectures_are_unchanged():
    spec = schema.Model(name="resnet20", norm="group")
    assert resolved(spec) is spec


def test_cpu_gets_a_small_backbone():
    assert resolved(schema.Model(name="auto", weights="imagenet")).name == "mobilenet_v2"


@pytest.mark.parametrize("alpha", [0.35, 1.0])
def test_backbone_of_a_shared_file_is_recognized(shared, alpha):
    file = shared / "weights" / f"mobilenet_v2_{alpha:.2f}_224_imagenet_no_top.weights.h5"
    found = resolved(schema.Model(name="auto", weights=str(file)))
    assert (found.name, found.alpha, found.weights) == ("mobilenet_v2", alpha, str(file))


@pytest.mark.parametrize(("name", "alpha"), [("mobilenet", 0.25), ("mobilenet_v3_small", 0.75), ("keras_vgg16", None)])
def test_backbone_of_a_drawn_file_is_recognized(tmp_path, name, alpha):
    stock = find(name).application.stock(schema.Model(name=name, alpha=alpha), (32, 32, 3))
    stock.save_weights(tmp_path / "some.weights.h5")
    found = resolved(schema.Model(name="auto", weights=str(tmp_path / "some.weights.h5")))
    assert (found.name, found.alpha) == (name, alpha)


def test_architecture_of_a_run_is_taken_over(digits_run):
    found = resolved(schema.Model(name="auto", weights=str(digits_run.folder), dropout=0.2))
    assert found.name == digits_run.recipe.model.name
    assert (found.weights, found.dropout) == (str(digits_run.folder), 0.2)


def test_options_that_contradict_the_weights_are_refused(shared, digits_run):
    file = str(shared / "weights" / "mobilenet_v2_0.35_224_imagenet_no_top.weights.h5")
    words = r"model.alpha = 0.5 contradicts .*0.35_224.*mobilenet_v2 with alpha = 0.35; leave model.alpha out"
    with pytest.raises(cr.ModelError, match=words):
        resolved(schema.Model(name="auto", weights=file, alpha=0.5))
    with pytest.raises(cr.ModelError, match="model.squeeze_excite = 4 contradicts .* mobilenet_v2, which has no sq"):
        resolved(schema.Model(name="auto", weights=file, squeeze_excite=4))
    with pytest.raises(cr.ModelError, match="model.norm = 'group' contradicts .* resnet8 with norm = 'batch'"):
        resolved(schema.Model(name="auto", weights=str(digits_run.folder), norm="group"))


def test_options_that_the_weights_leave_free_are_taken(shared, digits_run):
    file = str(shared / "weights" / "mobilenet_v2_0.35_224_imagenet_no_top.weights.h5")
    assert resolved(schema.Model(name="auto", weights=file, alpha=0.35, head="mlp")).head == "mlp"
    found = resolved(schema.Model(name="auto", weights=str(digits_run.folder), norm="batch", stochastic_depth=0.1))
    assert (found.name, found.stochastic_depth) == (digits_run.recipe.model.name, 0.1)


def test_missing_file_is_a_model_error():
    with pytest.raises(cr.ModelError, match="does not exist"):
        resolved(schema.Model(name="auto", weights="nowhere.h5"))

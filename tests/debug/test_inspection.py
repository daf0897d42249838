"""The whole of what is said of a model, and what may be asked about."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import cnnrecipes as cr
from cnnrecipes.debug import inspect, subject


def test_an_inspection_joins_costs_fields_and_activations(tmp_path):
    model = cr.build("resnet8", input_shape=(16, 16, 3), classes=4)
    found = inspect(model, tmp_path / "new" / "folder")
    layers = found.layers.set_index("layer")
    assert len(found.layers) == len(model.layers)
    assert layers.loc["stage1_block1_conv1", "multiply_adds"] == 16 * 16 * 9 * 16 * 16
    assert layers.loc["stage1_block1_conv2", "receptive_field"] == (7, 7)
    assert layers.loc["stem_norm", "std"] == pytest.approx(1, abs=0.01)
    assert found.stages.loc["total", "parameters"] == 75_290 - 6 * 65  # four classes less than ten
    assert found.stages.loc["stage3", "receptive_field"] == (25, 25)
    assert [len(pd.read_csv(path)) for path in found.files if path.suffix == ".csv"] == [len(found.layers)]
    assert sorted(path.name for path in found.files) == sorted(
        path.name for path in (tmp_path / "new/folder").iterdir()
    )


def test_older_pictures_are_replaced_and_other_files_left(tmp_path):
    (tmp_path / "filters.png").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    inspect(cr.build("fast_cnn", input_shape=(16, 16, 1), classes=2, widths=(8, 8, 8)), tmp_path)
    assert (tmp_path / "filters.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(cr.WriteError, match="cannot write .*file.*give another path"):
        inspect(cr.build("resnet8", input_shape=(16, 16, 3), classes=4), tmp_path / "file")


def test_an_architecture_is_as_published_unless_changed():
    assert subject.find("resnet20").model.input_shape == (None, 32, 32, 3)
    changed = subject.find("resnet20", {"data.image_size": 64, "data.channels": 1, "model.norm": "none"})
    assert changed.model.input_shape == (None, 64, 64, 1)
    assert changed.images is None
    assert not any(layer.name.endswith("_norm") and layer.weights for layer in changed.model.layers)


def test_a_recipe_brings_its_images_statistics_and_classes():
    name, model, images = subject.find("resnet8_digits", {"model.activation": "silu"})
    assert (name, images.shape, images.dtype) == ("resnet8_digits", (16, 8, 8, 1), np.uint8)
    assert model.output_shape == (None, 10)
    assert model.get_layer("stem_act").activation.__name__ == "silu"
    assert float(np.ravel(model.get_layer("standardize").mean)[0]) == pytest.approx(78, abs=5)


def test_an_architecture_can_look_with_the_users_images():
    found = subject.find("resnet14", data="digits")
    assert found.model.input_shape == (None, 8, 8, 1)
    assert len(found.images) == 16


def test_a_run_is_looked_at_as_it_is_trained(tmp_path):
    run = cr.fit("resnet8_digits", workdir=tmp_path, progress=False, **{"train.epochs": 1, "train.warmup": "0 epochs"})
    for path in (run.folder, run.folder / "model.keras"):
        trained = subject.find(str(path)).model
        np.testing.assert_array_equal(trained.get_weights()[2], run.model.get_weights()[2])
    with pytest.raises(cr.RecipeError, match=r"is trained; .*leave model\.norm out"):
        subject.find(str(run.folder), {"model.norm": "group"})


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("resnet21", {}, "unknown recipe, architecture or run 'resnet21'.*did you mean .*resnet20"),
        ("resnet20_cifr", {}, "did you mean resnet20_cifar"),
        ("resnet20", {"model.norm": "bach"}, "bach.*batch"),
        ("nowhere.toml", {}, "no recipe file at 'nowhere.toml'"),
    ],
)
def test_what_is_not_there_is_named(name, changes, words):
    with pytest.raises(cr.CNNRecipesError, match=words):
        subject.find(name, changes)

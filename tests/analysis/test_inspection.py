"""`inspect`: its report and files, and the recipes, architectures, runs and data that it accepts."""

from __future__ import annotations

import shutil
import socket

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import cnnrecipes as cr
from cnnrecipes.analysis import inspect, inspected_model
from cnnrecipes.cli.app import app


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Fail on any network connection; the cache and the working directory are empty."""

    def refuse(*address):
        raise AssertionError(f"a connection to {address[1:]} was tried")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setenv("CNNRECIPES_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def test_inspect_joins_costs_receptive_fields_and_activations(tmp_path):
    model = cr.build("resnet8", input_shape=(16, 16, 3), classes=4)
    found = inspect(model, tmp_path / "new" / "folder")
    layers = found.layers.set_index("layer")
    assert len(found.layers) == len(model.layers)
    assert layers.loc["stage1_block1_conv1", "multiply_adds"] == 16 * 16 * 9 * 16 * 16
    assert layers.loc["stage1_block1_conv2", "receptive_field"] == (7, 7)
    assert layers.loc["stem_norm", "std"] == pytest.approx(1, abs=0.01)
    assert found.stages.loc["total", "parameters"] == 75_290 - 6 * 65  # four classes instead of ten
    assert found.stages.loc["stage3", "receptive_field"] == (25, 25)
    assert [len(pd.read_csv(path)) for path in found.files if path.suffix == ".csv"] == [len(found.layers)]
    assert sorted(path.name for path in found.files) == sorted(
        path.name for path in (tmp_path / "new/folder").iterdir()
    )


def test_name_selects_its_model_and_images(tmp_path):
    found = inspect("resnet8", tmp_path / "noise")
    assert found.stages.loc["total", "parameters"] == 75_290
    assert "drawn with noise" in found.note
    assert found.to_dict()["stages"][-1]["stage"] == "total"
    assert inspect("resnet8_digits", tmp_path / "digits").note == ""


def test_existing_figures_are_replaced_and_other_files_kept(tmp_path):
    (tmp_path / "filters.png").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    inspect(cr.build("fast_cnn", input_shape=(16, 16, 1), classes=2, widths=(8, 8, 8)), tmp_path)
    assert (tmp_path / "filters.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_invalid_folder_raises(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(cr.WriteError, match="cannot write .*file.*give another path"):
        inspect(cr.build("resnet8", input_shape=(16, 16, 3), classes=4), tmp_path / "file")


def test_architecture_has_its_published_settings_unless_changed():
    assert inspected_model.find("resnet20").model.input_shape == (None, 32, 32, 3)
    changed = inspected_model.find("resnet20", {"data.image_size": 64, "data.channels": 1, "model.norm": "none"})
    assert changed.model.input_shape == (None, 64, 64, 1)
    assert changed.images is None
    assert not any(layer.name.endswith("_norm") and layer.weights for layer in changed.model.layers)


def test_recipe_has_its_images_statistics_and_classes():
    name, model, images, noise, _ = inspected_model.find("resnet8_digits", {"model.activation": "silu"})
    assert noise == ""
    assert (name, images.shape, images.dtype) == ("resnet8_digits", (16, 8, 8, 1), np.uint8)
    assert model.output_shape == (None, 10)
    assert model.get_layer("stem_act").activation.__name__ == "silu"
    assert float(np.ravel(model.get_layer("standardize").mean)[0]) == pytest.approx(78, abs=5)


def test_architecture_accepts_user_images():
    found = inspected_model.find("resnet14", data="digits")
    assert found.model.input_shape == (None, 8, 8, 1)
    assert len(found.images) == 16


def test_missing_data_is_replaced_by_noise_without_network_access(offline):
    """TFDS would download EuroSAT; its size and classes are known without a download."""
    found = inspected_model.find("resnet20_cifar", {"data.name": "eurosat"})
    assert found.model.input_shape == (None, 32, 32, 3)  # the recipe's size
    assert found.model.output_shape == (None, 10)
    assert found.images is None
    assert float(np.ravel(found.model.get_layer("standardize").mean)[0]) == inspected_model.NOISE_MEAN
    assert found.noise.startswith("drawn with noise, since 'eurosat' is not on this machine")
    assert "`cnnrecipes check-data eurosat` downloads it" in found.noise
    assert inspected_model.find("resnet14", data="tfds:eurosat").model.input_shape == (None, 64, 64, 3)


def test_missing_data_of_variable_size_has_the_size_of_the_recipe(offline):
    found = inspected_model.find("photos_from_scratch", {"data.name": "tf_flowers", "data.image_size": [32, 48]})
    assert found.model.input_shape == (None, 32, 48, 3)
    assert found.model.output_shape == (None, 5)
    with pytest.raises(cr.DataError, match="set data.image_size"):
        inspected_model.find("resnet20", data="tf_flowers")


@pytest.mark.parametrize("data", ["./photos", "https://example.org/photos.zip", "photos.tar", "photos.csv", "arrays"])
def test_missing_data_of_unknown_classes_requires_a_number_of_classes(offline, data):
    changes = {"data.name": data, "data.image_size": 32}
    with pytest.raises(cr.DataError, match="is not on this machine, so its classes are unknown; .*classes"):
        inspected_model.find("photos_from_scratch", changes)
    found = inspected_model.find("photos_from_scratch", changes, classes=7)
    assert found.model.output_shape == (None, 7)
    assert found.model.input_shape == (None, 32, 32, 3)
    assert "noise" in found.noise


def test_local_archive_is_used(offline, tmp_path):
    for name, level in (("cat", 50), ("dog", 200)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (40, 40), (level + i, level, level)).save(tmp_path / "pets" / name / f"{i}.png")
    shutil.make_archive("pets", "zip", "pets")
    found = inspected_model.find("photos_from_scratch", {"data.name": "pets.zip", "data.image_size": 32})
    assert found.noise == ""
    assert len(found.images) == 6
    assert found.first == "the first of the validation split: cat"


def test_mistyped_data_path_raises(offline):
    with pytest.raises(cr.DataError, match="nowhere' does not exist"):
        inspected_model.find("photos_from_scratch", data="./nowhere")


def test_architecture_accepts_a_number_of_classes():
    found = inspected_model.find("resnet20", classes=3)
    assert found.model.output_shape == (None, 3)
    assert "noise" in found.noise
    with pytest.raises(cr.DataError, match="classes = 1.*at least 2"):
        inspected_model.find("resnet20", classes=1)
    with pytest.raises(cr.DataError, match="data .*or .*classes"):
        inspected_model.find("resnet20", data="digits", classes=3)


def test_run_is_inspected_with_the_given_images(digits_run):
    assert inspected_model.find(str(digits_run.folder / "model.keras")).images is None
    found = inspected_model.find(str(digits_run.folder), data="digits")
    assert found.images.shape == (16, 8, 8, 1)
    assert found.noise == ""
    with pytest.raises(cr.RecipeError, match="is trained.*leave classes out"):
        inspected_model.find(str(digits_run.folder), classes=3)


def test_inspect_reports_noise_in_one_line(offline, capsys):
    app(["inspect", "resnet8", "--data", "eurosat", "data.image_size=16", "--folder", "out"], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert sum("drawn with noise" in line for line in lines) == 1


def test_run_is_inspected_with_its_trained_weights(tmp_path):
    run = cr.fit(
        "resnet8_digits", workdir=tmp_path, progress=False, **{"train.epochs": 1, "optimizer.warmup": "0 epochs"}
    )
    for path in (run.folder, run.folder / "model.keras"):
        trained = inspected_model.find(str(path)).model
        np.testing.assert_array_equal(trained.get_weights()[2], run.model.get_weights()[2])
    with pytest.raises(cr.RecipeError, match=r"is trained; .*leave model\.norm out"):
        inspected_model.find(str(run.folder), {"model.norm": "group"})


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("resnet21", {}, "unknown recipe, architecture or run 'resnet21'.*did you mean .*resnet20"),
        ("resnet20_cifr", {}, "did you mean resnet20_cifar"),
        ("resnet20", {"model.norm": "bach"}, "bach.*batch"),
        ("nowhere.toml", {}, "no recipe file at 'nowhere.toml'"),
    ],
)
def test_unknown_name_raises_with_suggestions(name, changes, words):
    with pytest.raises(cr.CNNRecipesError, match=words):
        inspected_model.find(name, changes)

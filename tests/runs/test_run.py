"""The run folder and its artifact: contents, bit-exact predictions, evaluation, damaged files."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import textwrap
import zipfile
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from PIL import Image

import cnnrecipes as cr
from cnnrecipes.data import batching
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.layers import with_fast_norms
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.recipe.toml import tomllib
from cnnrecipes.runs.intervals import wilson
from cnnrecipes.runs.trained_model import softmax


@pytest.fixture(scope="module")
def validation(digits_run):
    """The validation images, their labels, and the softmax of the forward pass over the pipeline's batches."""
    split = open_source(None, digits_run.recipe.data).split("validation")
    batches = list(batching.evaluation_batches(split, digits_run.recipe.data, 10).as_numpy_iterator())
    images, labels, weights = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    model = keras.saving.load_model(digits_run.folder / "model.keras", compile=False)
    forward = with_fast_norms(model).predict(batching.evaluation_batches(split, digits_run.recipe.data, 10), verbose=0)
    return images[weights > 0], labels[weights > 0].argmax(1), softmax(forward[weights > 0])


def rows(predictions, names):
    return np.array([[p.probabilities[name] for name in names] for p in predictions], np.float32)


def test_predictions_are_bit_identical_to_validation(digits_run, validation):
    images, _, forward = validation
    names = digits_run.class_names
    np.testing.assert_array_equal(rows(digits_run.predict(images), names), forward)
    np.testing.assert_array_equal(rows(digits_run.predict(list(images[:7])), names), forward[:7])
    for place in (0, 3, 40, 178):
        np.testing.assert_array_equal(rows([digits_run.predict(images[place])], names)[0], forward[place])


def test_artifact_kept_by_the_training_predicts_identically_to_the_file(digits_run, validation):
    kept, images = digits_run.artifact, validation[0]
    loaded = cr.load(digits_run.folder).artifact
    assert loaded is not kept
    assert loaded.class_names == kept.class_names
    assert loaded.recipe == kept.recipe
    np.testing.assert_array_equal(loaded.logits(images), kept.logits(images))


def test_artifact_predicts_identically_in_another_process(digits_run, validation, tmp_path):
    images, _, forward = validation
    shutil.copy(digits_run.folder / "model.keras", tmp_path / "elsewhere.keras")
    np.save(tmp_path / "images.npy", images)
    code = """
        import sys, numpy as np, cnnrecipes as cr
        model = cr.load(sys.argv[1] + "/elsewhere.keras")
        np.save(sys.argv[1] + "/out.npy", model.probabilities(np.load(sys.argv[1] + "/images.npy")))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=True, capture_output=True)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), forward)


def test_keras_loads_the_artifact_without_cnnrecipes(digits_run, validation, tmp_path):
    images, _, forward = validation
    np.save(tmp_path / "images.npy", images)
    code = """
        import sys, keras, numpy as np
        logits = keras.saving.load_model(sys.argv[1] + "/model.keras")(np.load(sys.argv[2] + "/images.npy"))
        np.save(sys.argv[2] + "/out.npy", keras.ops.softmax(logits))
        assert "cnnrecipes" not in sys.modules
    """
    arguments = [str(digits_run.folder), str(tmp_path)]
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), *arguments], check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), forward, atol=1e-5)


def test_prediction_has_sorted_probabilities_of_all_classes(digits_run, validation):
    images, labels, _ = validation
    predictions = digits_run.predict(images)
    assert np.mean([p.name == str(label) for p, label in zip(predictions, labels, strict=True)]) > 0.8
    for p in predictions[:5]:
        assert list(p.probabilities.values()) == sorted(p.probabilities.values(), reverse=True)
        assert sum(p.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert p.probabilities[p.name] == p.probability


def test_predict_accepts_paths_arrays_lists_and_batches(digits_run, validation, tmp_path):
    image = validation[0][0]
    Image.fromarray(image[..., 0]).save(tmp_path / "a digit.png")
    expected = digits_run.predict(image)
    path = tmp_path / "a digit.png"
    for given in (path, str(path), image[..., 0], image.astype(float)):
        assert digits_run.predict(given) == expected
    assert digits_run.predict([path, image, image[..., 0]]) == [expected] * 3
    assert digits_run.predict(image[None]) == [expected]
    assert digits_run.predict([]) == []
    assert digits_run.predict(np.kron(image[..., 0], np.ones((4, 4), np.uint8))).name == expected.name


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nowhere.jpg", "nowhere.jpg.*does not exist"),
        (__file__, "cannot read.*test_run.py.*jpg"),
        (np.zeros((2, 8, 8, 8, 1)), r"\(2, 8, 8, 8, 1\).*\(N, H, W, C\)"),
        (np.zeros((8, 8, 3), np.uint8), "3 channel.*trained on 1"),
        (np.full((8, 8), -0.5), "-0.5..-0.5; give 0..255 or 0..1"),
        (np.full((8, 8), 300), "300.*0..255"),
    ],
)
def test_invalid_input_of_predict_raises(digits_run, given, words):
    with pytest.raises(cr.DataError, match=words):
        digits_run.predict(given)


def damage(path, how):
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        middle = len(content) // 2
        path.write_bytes(
            content[:middle] + bytes(b ^ 255 for b in content[middle : middle + 64]) + content[middle + 64 :]
        )
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("no model")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("cnnrecipes.json", json.dumps({"recipe": {}}))


@pytest.mark.parametrize("how", ["truncated", "flipped", "empty", "text", "another zip"])
def test_corrupt_artifact_raises_with_its_name(digits_run, tmp_path, how):
    path = tmp_path / "model.keras"
    shutil.copy(digits_run.folder / "model.keras", path)
    damage(path, how)
    with pytest.raises(cr.CNNRecipesError, match=r"model\.keras"):
        cr.load(path)


def test_load_raises_for_foreign_models_and_missing_runs(tmp_path):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]).save(tmp_path / "other.keras")
    with pytest.raises(cr.RunError, match=r"other\.keras.*not a valid model of cnnrecipes"):
        cr.load(tmp_path / "other.keras")
    with pytest.raises(cr.RunError, match="not a run folder"):
        cr.load(tmp_path)
    with pytest.raises(cr.RunError, match="a model.keras, not None"):
        cr.load(None)
    with pytest.raises(cr.RunError, match="workdir is None"):
        cr.Run.create(None, catalog.load("resnet8_digits"))
    with pytest.raises(cr.RunError, match=r"no model at.*model\.keras"):
        cr.Run(tmp_path).predict("x.png")


def test_run_folder_is_complete(digits_run):
    names = {path.name for path in digits_run.folder.iterdir()}
    assert names - {".lock"} == {  # some versions of filelock leave it
        "recipe.toml", "environment.json", "history.csv", "metrics.json", "model.json", "model.keras", "checkpoints",
        "tensorboard", "predictions.parquet", "README.md", "report.html",
    }  # fmt: skip
    opened = cr.load(digits_run.folder)
    assert opened.recipe == digits_run.recipe
    assert Recipe.from_dict(tomllib.loads((opened.folder / "recipe.toml").read_text()), "file").train.epochs == 6
    environment = json.loads((opened.folder / "environment.json").read_text())
    assert environment["packages"]["keras"] == keras.__version__
    assert environment["devices"]
    assert set(opened.metrics) == {"epoch", "weights", "parameters", "trainable_parameters", "validation", "test"}
    count = sum(math.prod(weight.shape) for weight in opened.model.trainable_weights)
    assert opened.metrics["parameters"] == opened.metrics["trainable_parameters"] == count
    assert len(opened.history) == 6


def test_evaluate_reproduces_the_recorded_metrics(digits_run):
    opened = cr.load(digits_run.folder)
    assert opened.evaluate() == opened.metrics["test"]
    assert opened.evaluate(split="validation") == opened.metrics["validation"]
    assert opened.metrics["test"]["n"] == 359
    with pytest.raises(cr.DataError, match="no banana split.*train, validation, test"):
        opened.evaluate(split="banana")


@pytest.mark.parametrize(
    ("name", "content"), [("metrics.json", "{"), ("metrics.json", ""), ("history.csv", ""), ("history.csv", '"a\nb')]
)
def test_damaged_file_of_a_run_raises_with_its_name(digits_run, tmp_path, name, content):
    folder = shutil.copytree(digits_run.folder, tmp_path / "run")
    (folder / name).write_text(content)
    with pytest.raises(cr.RunError, match=name):
        getattr(cr.load(folder), name.partition(".")[0])


def test_evaluate_refuses_unknown_classes(digits_run):
    data = (np.zeros((4, 8, 8), np.uint8), ["a", "b", "a", "b"])
    with pytest.raises(cr.DataError, match="model has no class 'a'; it has '0'"):
        digits_run.evaluate(data=data, split="train")


def test_concurrent_runs_get_different_folders(tmp_path):
    recipe = catalog.load("resnet8_digits")
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: cr.Run.create(tmp_path, recipe), range(8)))
    assert len({run.folder for run in runs}) == 8
    assert sorted(int(run.folder.name.rpartition("_")[2]) for run in runs) == list(range(1, 9))


def test_unwritable_workdir_raises(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(cr.RunError, match="cannot write a run folder.*file.*workdir="):
        cr.Run.create(tmp_path / "file" / "runs", catalog.load("resnet8_digits"))


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"), [(8, 10, 0.4902, 0.9433), (0, 20, 0, 0.1611), (5, 5, 0.5655, 1)]
)
def test_wilson_interval_matches_published_values(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=1e-4)


def test_metrics_match_numpy(digits_run):
    split = open_source(None, digits_run.recipe.data).split("test")
    images = np.stack([split.read(i)[0] for i in range(len(split))])
    p = digits_run.artifact.probabilities(images)[np.arange(len(split)), split.labels]
    names = np.array([prediction.name for prediction in digits_run.predict(images)])
    found = digits_run.metrics["test"]
    assert found["accuracy"] == np.mean(names == split.labels.astype(str))
    assert found["cross_entropy"] == pytest.approx(-np.log(p).mean(), rel=1e-4)

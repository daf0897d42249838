"""Frozen features and a logistic head: the artifact, its metrics, resume, and commands on a run without steps."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from adaptation import DATA, NARROW, OTHER, SMALL, adapt, by_path, stopped, write_photos
from PIL import Image
from typer.testing import CliRunner

import cnnrecipes as cr
from cnnrecipes.cli.app import app
from cnnrecipes.errors import CNNRecipesError, ModelError, RunError, TrainingError
from cnnrecipes.keras_optim.recipe_loss import class_weights
from cnnrecipes.models import Backbone
from cnnrecipes.runs.weights import START, read_weights
from cnnrecipes.transfer.split_model import SplitModel
from cnnrecipes.verify.resume_check import differences


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def run(pretrained, photos, tmp_path_factory):
    """Of three classes on photos, from a backbone of two."""
    workdir = tmp_path_factory.mktemp("runs")
    changes = {"model.name": "resnet8", **NARROW, "model.weights": str(pretrained.folder), "augment.ops": []}
    changes |= {"data.image_size": 16, "data.standardize": pretrained.recipe.data.standardize}
    return cr.fit("features_photos", data=str(photos), workdir=workdir, progress=False, **changes)


def test_backbone_is_the_pretrained_one_and_the_head_is_fitted(pretrained, run):
    backbone = by_path(Backbone.of(pretrained.model).model.get_weights(), Backbone.of(pretrained.model).model)
    found = by_path(run.model.get_weights(), run.model)
    for path, weight in backbone.items():
        if not path.startswith("standardize"):  # of its own data
            np.testing.assert_array_equal(found[path], weight)
    assert found["logits/kernel"].shape == (16, 3)
    start, about = read_weights(run.folder / START)
    assert about["start_from"] == str(pretrained.folder)
    for one, other in zip(start, run.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_predictions_are_features_times_kernel_plus_bias(run, photos):
    files = sorted(str(path) for path in photos.rglob("*.png"))
    predictions = run.predict(files)
    images = np.stack([np.asarray(image) for image in run.artifact._fitted([_pixels(file) for file in files])])
    split = SplitModel.before_head(run.model)
    kernel, bias = run.model.get_layer("logits").get_weights()
    logits = split.frozen(images, training=False).numpy() @ kernel + bias
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = [[one.probabilities[name] for name in run.class_names] for one in predictions]
    np.testing.assert_allclose(found, probabilities, atol=1e-5)


def _pixels(file):
    return np.asarray(Image.open(file))


def test_metrics_are_those_of_the_artifact_on_files(run, photos):
    measured = run.evaluate(split="validation")
    assert measured == run.metrics["validation"]
    np.testing.assert_array_equal(run.predictions().probabilities, measured.predictions.probabilities)
    assert all((photos / file).is_file() for file in run.predictions().files)
    files = sorted((photos / "validation").rglob("*.png"))
    right = np.mean([one.name == file.parent.name for one, file in zip(run.predict(files), files, strict=True)])
    assert right == pytest.approx(measured["accuracy"])
    assert run.metrics["epoch"] == 0
    assert run.metrics["trainable_parameters"] == 16 * 3 + 3
    whole = sum(math.prod(weight.shape) for weight in run.model.trainable_weights)
    assert run.metrics["parameters"] == whole
    again = cr.load(run.folder / "model.keras")
    assert [one.name for one in again.predict(files)] == [one.name for one in run.predict(files)]


def test_arrays_are_adapted_and_class_names_kept(pretrained, tmp_path):
    run = adapt("features", pretrained, tmp_path)
    assert run.metrics["validation"] == run.evaluate(OTHER, "validation")
    assert run.class_names == pretrained.class_names


@pytest.mark.parametrize("when", ["before the checkpoint", "before the metrics"])
def test_killed_run_resumes_without_fitting_again(run, photos, tmp_path, capsys, when):
    folder = stopped(run, tmp_path, checkpoints=when == "before the metrics")
    resumed = cr.resume(folder, data=str(photos))
    assert "logistic regression" not in capsys.readouterr().out
    assert differences(run, resumed) == []
    assert resumed.metrics == run.metrics


def test_unfinished_run_predicts_and_is_shown(run, tmp_path):
    folder = stopped(run, tmp_path, checkpoints=True)
    unfinished = cr.Run.open(folder)
    with pytest.warns(cr.CNNRecipesWarning, match="its last checkpoint"):
        artifact = unfinished.artifact
    for one, other in zip(artifact.model.get_weights(), run.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert "unfinished" in repr(unfinished)
    assert "epochs" not in repr(unfinished)


def test_history_and_extension_of_a_run_without_epochs_are_errors(run, tmp_path):
    with pytest.raises(RunError, match=r"logistic regression on frozen features, which has no epochs; `metrics`"):
        _ = run.history
    with pytest.raises(RunError, match=r"no epochs to extend; train its backbone with transfer.how=finetune"):
        cr.extend(run, 2, schedule="restart", workdir=tmp_path, progress=False)
    with pytest.raises(RunError, match="is finished"):
        cr.resume(run)


def test_displays_show_metrics_and_no_history(run):
    for shown in (repr(run), run._repr_html_()):
        assert "accuracy" in shown
        assert "history" not in shown
        assert "<img" not in shown


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["evaluate", "{run}", "--split", "validation"], "accuracy"),
        (["predict", "{run}", "{photos}/validation/a"], "a "),
        (["resume", "{run}"], "is finished"),
        (["extend", "{run}", "--epochs", "1", "--schedule", "restart"], "no epochs to extend"),
    ],
)
def test_commands_work_or_name_the_reason(run, photos, tmp_path, monkeypatch, command, expected):
    monkeypatch.chdir(tmp_path)
    arguments = [part.format(run=run.folder, photos=photos) for part in command]
    done = CliRunner().invoke(app, arguments)
    shown = " ".join((done.output + str(done.exception or "")).split())
    assert expected in shown
    assert done.exception is None or isinstance(done.exception, CNNRecipesError)
    assert not list(tmp_path.iterdir())


def test_features_of_a_features_run_start_another(run, photos, tmp_path):
    """Its model is a backbone as any other."""
    changes = {"model.name": "resnet8", **NARROW, "model.weights": str(run.folder), "data.image_size": 16}
    changes |= {"data.standardize": "train", "optimizer.learning_rate": 1e-4, "train.epochs": 1, "augment.ops": []}
    changes |= {"transfer.cross_validation": "never", "logging.loggers": []}
    tuned = cr.fit("finetune_photos", data=str(photos), workdir=tmp_path, progress=False, **changes)
    assert len(tuned.history) == 1


def test_imbalanced_classes_are_weighted_as_in_training(pretrained, tmp_path):
    few = np.flatnonzero(np.arange(60) % 2 + (np.arange(60) < 24))  # a fourth of class 0
    data = (DATA[0][few], OTHER[1][few])
    kernels = []
    for balance in ("none", "class_weights"):
        settings = {"data.balance": balance, "train.start_from": str(pretrained.folder), "transfer.how": "features"}
        settings["transfer.cross_validation"] = "never"
        run = cr.fit("resnet20_cifar", data=data, workdir=tmp_path, progress=False, **{**SMALL, **NARROW, **settings})
        kernels.append(run.model.get_layer("logits").get_weights()[0])
    assert class_weights(data[1], 2) != [1.0, 1.0]
    assert np.abs(kernels[0] - kernels[1]).max() > 0


def test_missing_weights_and_a_head_that_is_not_linear_are_errors_before_anything_is_written(pretrained, tmp_path):
    with pytest.raises(TrainingError, match=r"needs a pretrained backbone, and model.weights is 'none'"):
        adapt("features", pretrained, tmp_path, **{"train.start_from": None})
    with pytest.raises(ModelError, match=r"the head here has the layers head_fc1, logits; set model.head = 'average'"):
        adapt("features", pretrained, tmp_path, **{"model.head": "mlp"})
    with pytest.raises(ModelError, match=r"without the layers 'pool' and 'logits'"):
        adapt("features", pretrained, tmp_path, **{"model.head": "classic"})
    assert not list(tmp_path.iterdir())


def test_diverged_backbone_is_an_error(pretrained, tmp_path):
    folder = tmp_path / "diverged"
    model = cr.Run.open(pretrained.folder).model
    model.get_layer("stage2_block1_norm2").beta.assign(np.full(16, np.inf))
    folder.mkdir()
    cr.runs.trained_model.Artifact(model, pretrained.recipe, pretrained.class_names).save(folder / "model.keras")
    with pytest.raises(TrainingError, match="NaN or infinite"):
        adapt("features", pretrained, tmp_path / "runs", **{"train.start_from": str(folder / "model.keras")})


def test_accuracy_of_mobilenet_on_hymenoptera(shared, hymenoptera, tmp_path):
    weights = shared / "weights" / "mobilenet_v2_0.35_224_imagenet_no_top.weights.h5"
    changes = {"model.name": "mobilenet_v2", "model.alpha": 0.35, "model.weights": str(weights)}
    run = cr.fit("features_photos", data=str(hymenoptera), workdir=tmp_path, progress=False, **changes)
    assert run.metrics["validation"]["n"] == 153
    assert run.metrics["validation"]["accuracy"] >= 0.895
    assert json.loads((run.folder / "metrics.json").read_text())["epoch"] == 0

"""End-to-end tests of `fit`: from a recipe to a run, on real images."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import cnnrecipes as cr
from cnnrecipes import models
from cnnrecipes.runs import checkpoint

RANDOM = np.random.default_rng(0)
LABELS = np.arange(60) % 2
# Dark and bright images.
IMAGES = (RANDOM.integers(0, 100, (60, 8, 8, 3)) + 150 * LABELS[:, None, None, None]).astype(np.uint8)
SMALL = {
    "model.name": "resnet8",
    "model.depths": [1],
    "model.widths": [16],
    "logging.loggers": [],
    "logging.report": "off",
    "data.image_size": 8,
    "data.batch_size": 16,
    "train.epochs": 2,
    "optimizer.warmup": "0 epochs",
    "augment.ops": [],
}


def fit(data, workdir, **changes):
    return cr.fit("resnet20_cifar", data=data, workdir=workdir, progress=False, **{**SMALL, **changes})


def test_fit_learns_from_arrays_and_records_the_run(tmp_path):
    run = fit((IMAGES, np.array(["dark", "bright"])[LABELS]), tmp_path, **{"train.epochs": 6})
    assert run.metrics["validation"]["accuracy"] == 1
    assert run.predict(np.full((8, 8, 3), 240, np.uint8)).name == "bright"
    assert run.recipe.data.name == "arrays"
    with pytest.raises(cr.DataError, match="give them again as data="):
        cr.load(run.folder).evaluate()
    given = (IMAGES, np.array(["dark", "bright"])[LABELS])
    assert cr.load(run.folder).evaluate(given)["n"] == 60
    assert cr.load(run.folder).evaluate(given, split="validation") == run.metrics["validation"]


def test_fit_learns_from_a_folder_of_photos(flowers, tmp_path):
    run = cr.fit(
        "photos_from_scratch", data=flowers, workdir=tmp_path, progress=False, **{**SMALL, "data.image_size": 16}
    )
    assert run.class_names == ("daisy", "dandelion", "rose", "sunflower", "tulip")
    photo = next((flowers / "rose").glob("*.jpg"))
    assert set(run.predict(photo).probabilities) == set(run.class_names)
    assert cr.load(run.folder).evaluate() == run.metrics["validation"]


def test_same_seed_gives_bit_identical_weights(tmp_path):
    data = (IMAGES, LABELS)
    first, again, other = (fit(data, tmp_path, seed=seed) for seed in (3, 3, 4))
    weights = [run.model.get_weights() for run in (first, again, other)]
    assert all(np.array_equal(a, b) for a, b in zip(*weights[:2], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(*weights[::2], strict=True))


@pytest.mark.parametrize("asked", [{"train.early_stopping": 3}, {"optimizer.schedule": "plateau"}])
def test_monitoring_validation_requires_a_validation_split(tmp_path, asked):
    with pytest.raises(cr.TrainingError, match="needs a validation split, and there is none"):
        fit((IMAGES, LABELS), tmp_path, **{**asked, "data.validation": 0.0})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("device", ["host", "accelerator"])
def test_tensorboard_logs_the_first_batch_after_augmentation(tmp_path, device):
    ops = {"augment.ops": ["flip_lr", "mixup(0.2)"], "augment.device": device}
    run = fit((IMAGES, LABELS), tmp_path, **{**ops, "logging.loggers": ["tensorboard"], "train.epochs": 1})
    events = EventAccumulator(str(run.folder / "tensorboard" / "train"), size_guidance={"tensors": 0}).Reload()
    assert len(events.Tensors("first_batch")) == 1


def test_deterministic_training_is_bit_exact(tmp_path):
    """Runs in a subprocess, since the setting holds for the rest of a process."""
    program = f"""
import numpy as np, cnnrecipes as cr
images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
changes = {{**{SMALL!r}, "train.deterministic": True, "model.dropout": 0.2}}
for _ in range(2):
    run = cr.fit(
        "resnet20_cifar", data=(images, np.arange(60) % 2), workdir={str(tmp_path)!r}, progress=False, **changes
    )
    print("weights", run.metrics["weights"])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    found = [line for line in result.stdout.splitlines() if line.startswith("weights")]
    assert len(found) == 2
    assert found[0] == found[1]


def test_split_does_not_influence_training(tmp_path):
    splits = {"train": (IMAGES, LABELS), "test": (IMAGES[:20], LABELS[:20])}
    scrambled = {**splits, "test": (IMAGES[:20], 1 - LABELS[:20])}
    first, other = fit(splits, tmp_path), fit(scrambled, tmp_path)
    assert all(np.array_equal(a, b) for a, b in zip(first.model.get_weights(), other.model.get_weights(), strict=True))
    assert first.metrics["test"]["accuracy"] == pytest.approx(1 - other.metrics["test"]["accuracy"])


def test_training_without_validation_split(tmp_path):
    run = fit((IMAGES, LABELS), tmp_path, **{"data.validation": 0.0})
    assert "val_loss" not in run.history
    assert run.metrics.keys() == {"epoch", "weights", "parameters", "trainable_parameters"}
    assert run.metrics["epoch"] == 2


@pytest.mark.parametrize(
    ("recipe", "data", "changes", "words"),
    [
        ("resnet20_cifr", None, {}, "resnet20_cifar"),
        ("resnet20_cifar", None, {"train.epoch": 1}, "train.epochs"),
        ("resnet20_cifar", None, {"train.epochs": 1.5}, "train.epochs = 1.5"),
        ("resnet20_cifar", None, {"train.epochs": -1}, "train.epochs = -1"),
        ("resnet20_cifar", (IMAGES, LABELS), {"model.name": "resnet21"}, "resnet21.*resnet"),
        ("resnet20_cifar", "/no/where", {}, "/no/where.*does not exist"),
        ("resnet20_cifar", (IMAGES[0], LABELS), {}, "images"),
        ("resnet20_cifar", (IMAGES[..., :1], LABELS), {}, "data.channels"),
        ("resnet20_cifar", (IMAGES, LABELS[:9]), {}, "60 images and 9 labels"),
        ("resnet20_cifar", (IMAGES, LABELS), {"optimizer.warmup": "90 epochs", "train.epochs": 2}, "warmup"),
        ("vgg16_cifar", (IMAGES, LABELS), {"data.image_size": 8, "optimizer.warmup": "0 epochs"}, "8x8.*32x32"),
    ],
)
def test_invalid_input_raises_before_the_run_folder_is_created(tmp_path, recipe, data, changes, words):
    with pytest.raises(cr.CNNRecipesError, match=words):
        cr.fit(recipe, data=data, workdir=tmp_path / "runs", progress=False, **changes)
    assert not (tmp_path / "runs").exists()


def test_fit_reports_conversions_and_small_splits(tmp_path, capsys):
    """The call ends with a contradiction, so that nothing is trained."""
    changes = {**SMALL, "data.batch_size": 100, "augment.repeats": 7}
    with pytest.raises(cr.RecipeError, match="augment.repeats = 7 does not divide a batch of 54"):
        cr.fit("resnet20_cifar", (IMAGES / 255, np.eye(2)[LABELS]), workdir=tmp_path / "runs", **changes)
    said = capsys.readouterr().out
    assert "the train images are float64 0..1: multiplied by 255 and rounded" in said
    assert "the train labels (60, 2) are one-hot: taken as 2 classes" in said
    assert "data.batch_size = 100 exceeds the number of training images: each step uses all 54" in said
    assert "warning: 6 validation images select the best epoch, and one image is 17% of its accuracy" in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.filterwarnings("error::cnnrecipes.errors.CNNRecipesWarning")
@pytest.mark.filterwarnings("error::cnnrecipes.errors.CNNRecipesWarning")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train.epochs": 1, "optimizer.schedule": "multi_step(['1%', '50%'])"}, None),
        ({"train.epochs": 1}, "warmup = '400 steps' is now '10%'"),
    ],
)
def test_schedule_longer_than_the_training_is_clipped_with_a_warning(tmp_path, changes, words):
    file = tmp_path / "mine.toml"
    file.write_text('extends = "resnet20_cifar"\n[optimizer]\nwarmup = "400 steps"\n')
    asked = {**SMALL, **changes, "optimizer.warmup": "0 epochs"} if words is None else {**SMALL, **changes}
    if words:
        asked.pop("optimizer.warmup")
        with pytest.raises(cr.CNNRecipesWarning, match=f"training of 3 steps is too short.*{words}"):
            cr.fit(file, (IMAGES, LABELS), workdir=tmp_path, progress=False, **asked)
    else:  # an override of the call is never clipped
        with pytest.raises(cr.RecipeError, match="less than a step"):
            cr.fit(file, (IMAGES, LABELS), workdir=tmp_path, progress=False, **asked)


@pytest.mark.parametrize(("folder", "split"), [("val", "validation"), ("test", "test")])
def test_broken_photo_outside_training_is_quarantined(tmp_path, folder, split):
    for i, place in enumerate(("train/a", "train/b", f"{folder}/a")):
        (tmp_path / "photos" / place).mkdir(parents=True)
        Image.fromarray(IMAGES[i]).save(tmp_path / "photos" / place / "x.png")
    (tmp_path / "photos" / folder / "a" / "broken.png").write_bytes(b"\x89PNG")
    run = fit(tmp_path / "photos", tmp_path / "runs", **{"data.validation": 0.0})
    assert "broken.png" in (run.folder / "quarantine.txt").read_text()
    assert run.metrics[split]["n"] == 1


def test_broken_photos_of_training_and_validation_are_quarantined(flowers, tmp_path):
    import shutil

    copy = shutil.copytree(flowers, tmp_path / "flowers")
    for path in sorted((copy / "rose").glob("*.jpg"))[:60]:
        path.write_bytes(path.read_bytes()[:300])
    run = cr.fit("photos_from_scratch", data=copy, workdir=tmp_path, progress=False, **{**SMALL, "data.image_size": 16})
    assert len((run.folder / "quarantine.txt").read_text().splitlines()) == 60
    assert 48 <= run.metrics["validation"]["n"] < 60


def test_diverging_loss_stops_the_training(tmp_path):
    with pytest.raises(cr.TrainingError, match=r"loss is (nan|inf) since step \d+ of epoch 1.*learning_rate"):
        cr.fit(
            "resnet8_digits",
            workdir=tmp_path,
            progress=False,
            **{"optimizer.learning_rate": 1e30, "optimizer.warmup": "1%"},
        )


def test_history_val_loss_is_the_cross_entropy_of_the_evaluation(digits_run):
    row = digits_run.history.iloc[digits_run.metrics["epoch"] - 1]
    assert row.val_loss == pytest.approx(digits_run.metrics["validation"]["cross_entropy"], rel=1e-4)
    assert row.val_accuracy == pytest.approx(digits_run.metrics["validation"]["accuracy"], abs=1e-6)


def test_finished_run_has_history_events_and_checkpoints(digits_run):
    history = pd.read_csv(digits_run.folder / "history.csv")
    assert list(history.epoch) == [1, 2, 3, 4, 5, 6]
    # The rate of an epoch's last step; the first epoch is the warmup, of 19 steps.
    assert history.learning_rate.iloc[0] == pytest.approx(0.1 * 19 / 20, rel=1e-3)
    assert history.learning_rate.iloc[-1] > 0
    assert history.learning_rate.iloc[-1] < 1e-3
    assert (history.images_per_second > 0).all()
    assert list((digits_run.folder / "tensorboard").rglob("events.out.tfevents.*"))
    assert {path.name for path in (digits_run.folder / "checkpoints").iterdir()} == {
        "best.npz",
        f"step_{6 * 19:09d}.npz",
    }


def test_model_of_a_finished_run_has_the_best_weights_and_nothing_of_the_training(tmp_path):
    run = fit((IMAGES, LABELS), tmp_path, **{"optimizer.ema": 0.5, "model.dropout": 0.5})
    artifact, loaded = run.artifact, cr.load(run.folder).artifact
    assert checkpoint.digest(artifact.model.get_weights()) == run.metrics["weights"]
    fresh = models.build(run.recipe.model, input_shape=(8, 8, 3), classes=2)
    for model in (artifact.model, loaded.model):
        assert [weight.path for weight in model.weights] == [weight.path for weight in fresh.weights]
        assert not model.compiled
    np.testing.assert_array_equal(artifact.logits(IMAGES), loaded.logits(IMAGES))

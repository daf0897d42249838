"""`transfer.how = "auto"`: the way by number of images and separation of the classes; `model.name = "auto"`."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.transfer.automatic_method import FEW, MANY, choose


@pytest.mark.parametrize(
    ("images", "accuracy", "how"),
    [
        (FEW - 1, 0.8, "features"),  # few
        (FEW, 0.99, "features"),  # separated already
        (FEW, 0.8, "finetune"),
        (FEW, 0.5, "lora"),  # far, and not many
        (MANY, 0.5, "finetune"),  # far, and many
    ],
)
def test_way_by_images_and_accuracy(images, accuracy, how):
    choice = choose(np.repeat(np.arange(4), images), 4, accuracy, "the validation split")
    assert choice.how == how
    assert f"transfer.how = {how}" in choice.reason
    assert f"{images:,} images a class" in choice.reason
    assert f"{accuracy:.1%} right on the validation split" in choice.reason


def test_accuracy_is_relative_to_chance():
    """70% of two classes is less than half of the way from chance, 70% of 100 classes is more."""
    assert choose(np.repeat(np.arange(2), 100), 2, 0.7, "x").how == "lora"
    assert choose(np.repeat(np.arange(100), 100), 100, 0.7, "x").how == "finetune"


def test_chosen_backbone_and_fine_tuning_are_recorded_and_not_below_the_linear_probe(
    shared, hymenoptera, tmp_path, capsys
):
    file = shared / "weights" / "mobilenet_v2_0.35_224_imagenet_no_top.weights.h5"
    changes = {"model.weights": str(file), "data.image_size": 96, "augment.ops": [], "train.epochs": 1}
    changes |= {"logging.loggers": [], "transfer.cross_validation": "never"}
    run = cr.fit("photos", hymenoptera, workdir=tmp_path, **changes)
    said = capsys.readouterr().out
    assert (run.recipe.model.name, run.recipe.model.alpha) == ("mobilenet_v2", 0.35)
    assert run.recipe.data.standardize == "model"
    assert run.predict(next((hymenoptera / "val" / "ants").glob("*.jpg"))).name in ("ants", "bees")
    assert run.recipe.transfer.how == "finetune"
    assert "transfer.how = finetune: 122 images a class" in said
    assert run.metrics["transfer"].split(":")[0] == "transfer.how = finetune"
    assert "validation accuracy" in repr(run)
    probe = float(re.search(r"before training: .*val_accuracy ([\d.]+)%", said)[1]) / 100
    assert probe > 0.8
    assert len(run.history) == 1
    assert run.history["val_accuracy"][0] > probe - 0.05
    assert json.loads((run.folder / "model.json").read_text()).get("trained_part") is None

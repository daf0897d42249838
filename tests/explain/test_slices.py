"""Slices: parts of a split by size, brightness, folder and group, with those that are significantly worse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cnnrecipes.data.image_names import image_names
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.errors import DataError
from cnnrecipes.explain import slices
from cnnrecipes.explain.slices import brightness
from cnnrecipes.recipe.schema import Data
from cnnrecipes.runs.predictions import Predictions


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """60 photos of two classes from two cameras; those of the second are larger and darker."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for number in range(60):
        camera, label = number % 2, "ab"[number // 2 % 2]
        side, light = (24, 200) if camera == 0 else (40, 60)
        pixels = random.integers(light - 20, light + 20, (side, side + 4, 3)).astype(np.uint8)
        path = folder / label / f"camera{camera}" / f"{number:02}.{'jpg' if number % 3 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    source = open_source(folder, Data(name="photos", layout="classes", validation=0))
    return source, source.split("train")


def predicted(source, split, wrong) -> Predictions:
    """Predictions that are wrong where the mask is True."""
    rows = np.full((len(split), 2), 0.1, np.float32)
    rows[np.arange(len(split)), np.where(wrong, 1 - split.labels, split.labels)] = 0.9
    return Predictions(
        "train", source.class_names, image_names(split, source), split.positions, split.labels, rows, None, ""
    )


def test_worse_slices_are_found(photos):
    source, split = photos
    wrong = np.array(["camera1" in name for name in image_names(split, source)])
    wrong[np.flatnonzero(wrong)[:10]] = False  # 20 of 30 wrong, against none
    table = slices(predicted(source, split, wrong), split)
    assert set(table["slice"]) == {"image size", "brightness", "folder"}
    rows = table.set_index(["slice", "value"])
    assert rows.loc[("folder", "camera1"), "n"] == 30
    assert rows.loc[("folder", "camera1"), "accuracy"] == pytest.approx(1 / 3)
    assert bool(rows.loc[("folder", "camera1"), "worse"])
    assert not bool(rows.loc[("folder", "camera0"), "worse"])
    assert bool(rows.loc[("image size", "40 px"), "worse"])
    assert (table["accuracy_low"] <= table["accuracy"]).all()
    assert (table["accuracy_high"] >= table["accuracy"]).all()
    sizes = table[table["slice"] == "brightness"]["n"]
    assert sizes.sum() == 60


def test_chance_differences_are_not_worse(photos):
    source, split = photos
    flagged = 0
    for seed in range(8):
        wrong = np.random.default_rng(seed).random(60) < 0.3
        flagged += bool(slices(predicted(source, split, wrong), split)["worse"].any())
    assert flagged <= 2


def test_brightness_is_the_mean_gray_value(photos):
    _, split = photos
    found = brightness(split)
    for file, value in zip(split.files(), found, strict=True):
        exact = np.asarray(Image.open(file).convert("L"), float).mean()
        assert value == pytest.approx(exact, abs=4 if file.endswith("jpg") else 1)


def test_arrays_have_slices_of_brightness(digits_run):
    source = open_source(None, digits_run.recipe.data)
    split = source.split("validation")
    rows = np.eye(10, dtype=np.float32)[split.labels]
    names = image_names(split, source)
    found = Predictions("validation", source.class_names, names, split.positions, split.labels, rows, None, "")
    table = slices(found, split)
    assert set(table["slice"]) == {"brightness"}
    assert not table["worse"].any()
    groups = tuple("xy"[i % 2] for i in range(len(split)))
    assert {"x", "y"} <= set(slices(replace(found, groups=groups), split)["value"])


def test_other_images_are_refused(photos):
    source, split = photos
    found = predicted(source, split, np.zeros(60, bool)).part(np.arange(10))
    with pytest.raises(DataError, match="10 predictions are not of the 60 images"):
        slices(found, split)

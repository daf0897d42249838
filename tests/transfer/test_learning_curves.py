"""Learning curves: nested subsets, sizes, the extrapolation, and the command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from cnnrecipes.errors import DataError
from cnnrecipes.transfer.learning_curves import class_orders, measure, nested_subset, sizes
from cnnrecipes.transfer.logistic import Examples
from cnnrecipes.transfer.power_law import doubling, fit_power_law


def gaussian(rng: np.random.Generator, n: int) -> Examples:
    labels = np.arange(n) % 2
    features = rng.normal(size=(n, 20))
    features[:, 0] += 2 * labels - 1
    return Examples(features, labels)


@pytest.fixture(scope="module")
def curve():
    rng = np.random.default_rng(0)
    return measure(gaussian(rng, 120), gaussian(rng, 200), 2, repeats=3, seed=1)


def test_sizes_grow_to_all_images():
    assert sizes(122.5) == [1, 2, 5, 10, 20, 50, 122.5]
    assert sizes(100) == [1, 2, 5, 10, 20, 50, 100]
    assert sizes(1) == [1]


def test_subsets_are_nested_and_stratified():
    labels = np.repeat([0, 1, 2], [40, 20, 3])
    orders = class_orders(labels, np.random.default_rng(0))
    before: set[int] = set()
    for size in sizes(21):
        index = nested_subset(orders, size, 21)
        assert len(set(index)) == len(index)
        assert before <= set(index)
        counts = np.bincount(labels[index], minlength=3)
        assert np.all(np.abs(counts - np.array([40, 20, 3]) * size / 21) <= 1)
        assert counts.min() >= 1
        before = set(index)
    assert len(before) == 63


def test_curve_rises_and_its_intervals_contain_the_means(curve):
    assert curve["images"].tolist() == [2, 4, 10, 20, 40, 120]
    assert curve["repeats"].tolist() == [3, 3, 3, 3, 3, 1]
    assert curve["accuracy"].iloc[-1] > curve["accuracy"].iloc[0] + 0.1
    assert ((curve["low"] < curve["accuracy"]) & (curve["accuracy"] < curve["high"])).all()


def test_curve_is_deterministic(curve):
    rng = np.random.default_rng(0)
    again = measure(gaussian(rng, 120), gaussian(rng, 200), 2, repeats=3, seed=1)
    assert again.equals(curve)
    assert str(again.attrs["doubling"]) == str(curve.attrs["doubling"])


def hits(accuracy: dict[int, float], n: int = 1000) -> dict[int, np.ndarray]:
    return {count: np.arange(n)[None] < share * n for count, share in accuracy.items()}


def test_doubling_follows_a_power_law():
    found = doubling(hits({count: 1 - 2 / np.sqrt(count) for count in (25, 50, 100, 400)}), np.random.default_rng(0))
    assert found.gain == pytest.approx(0.1 * (1 - 2**-0.5), abs=0.002)
    assert found.gain_95[0] <= found.gain <= found.gain_95[1]
    assert "800 training images instead of 400" in str(found)
    assert str(found).startswith("More images would help")


def test_power_law_is_recovered_with_its_asymptote():
    images = [50, 100, 200, 400, 800, 1600]
    found = fit_power_law(images, [0.05 + 2 * n**-0.6 for n in images], 10_000)
    assert (found.a, found.b, found.c) == pytest.approx((0.05, 2, 0.6), rel=0.02)
    assert found.gain(1600) == pytest.approx(2 * (1600**-0.6 - 3200**-0.6), rel=0.01)


def test_parameters_stay_within_their_bounds():
    rising = fit_power_law([10, 20, 40, 80], [0.1, 0.2, 0.3, 0.4], 100)
    assert (rising.b, rising.gain(80)) == (0, 0)
    steep = fit_power_law([10, 20, 40, 80], [0.5, 0.2, 0.05, 0.0], 100)
    assert steep.a >= 0
    assert steep.c <= 3


def test_sizes_that_follow_no_power_law_are_reported():
    found = doubling(hits({10: 0.5, 20: 0.9, 40: 0.6, 80: 0.9, 160: 0.7}), np.random.default_rng(0))
    assert found.is_bad
    assert "no power law fits the last 5 sizes" in str(found)
    assert "would help" not in str(found)


def test_interval_of_the_gain_contains_the_truth_for_drawn_validation_images():
    rng = np.random.default_rng(5)
    images = (100, 200, 400, 800, 1600)
    covered = 0
    for _ in range(6):
        level = rng.random(400)  # images are hard or easy for all sizes alike
        noise = {n: rng.normal(0, 0.03, (3, 400)) for n in images}
        drawn = {n: level + noise[n] < 1 - 0.04 - 2 * n**-0.5 for n in images}
        low, high = doubling(drawn, rng).gain_95
        covered += low <= 2 * (1600**-0.5 - 3200**-0.5) <= high
    assert covered >= 5


def test_doubling_of_a_saturated_curve_hardly_helps():
    found = doubling(hits({10: 0.5, 20: 0.85, 50: 0.9, 100: 0.903}), np.random.default_rng(0))
    assert str(found).startswith("More images will hardly help")


@pytest.mark.parametrize("accuracy", [(0.9, 0.9, 0.9, 0.9), (0.577, 0.576, 0.577, 0.576)], ids=["flat", "rising error"])
def test_curve_without_a_decrease_of_the_error_has_no_power_law(accuracy):
    found = doubling(hits(dict(zip((10, 20, 50, 100), accuracy, strict=True))), np.random.default_rng(0))
    assert found.is_flat
    assert "no decrease of the error was seen over the last 4 sizes" in str(found)
    assert f"the validation accuracy is {accuracy[-1]:.1%} now" in str(found)
    assert "n^" not in str(found)


def test_doubling_is_not_extrapolated_from_two_sizes():
    assert "too few" in str(doubling(hits({2: 0.5, 4: 0.6}), np.random.default_rng(0)))


def test_curve_without_repeats_is_refused():
    with pytest.raises(DataError, match="0 repeats"):
        measure(gaussian(np.random.default_rng(0), 10), gaussian(np.random.default_rng(0), 10), 2, repeats=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Dark and bright photos, in folders train/ and val/."""
    place, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 6)):
        for name, level in (("dark", 0), ("bright", 150)):
            (place / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = (rng.integers(0, 100, (32, 32, 3)) + level).astype(np.uint8)
                Image.fromarray(pixels).save(place / split / name / f"{i}.png")
    return place


@pytest.fixture(scope="module")
def settings(folder, tmp_path_factory):
    """Settings of a small backbone, with drawn weights in the place of pretrained ones."""
    small = ["model.name=mobilenet_v2", "model.alpha=0.35", "data.image_size=32", "data.batch_size=8"]
    path = tmp_path_factory.mktemp("weights") / "backbone.weights.h5"
    backbone = keras.applications.MobileNetV2(input_shape=(32, 32, 3), alpha=0.35, include_top=False, weights=None)
    backbone.save_weights(path)
    return ["--data", str(folder), "--repeats", "2", *small, f"model.weights={path}"]


def test_command_prints_a_table_a_sentence_and_a_picture(run_cli, settings, tmp_path):
    code, out, _ = run_cli("learning-curve", "features_photos", *settings)
    assert code == 0
    assert "images a class" in out
    assert "12 validation images" in out
    assert "More images " in out
    assert (tmp_path / "learning_curve.png").stat().st_size > 5000
    assert "wrote learning_curve.png" in out


def test_command_prints_json(run_cli, settings):
    code, out, _ = run_cli("learning-curve", "features_photos", *settings, "--json", "--output", "curve.svg")
    found = json.loads(out)
    assert code == 0
    assert [row["images"] for row in found["sizes"]] == [2, 4, 10, 24]
    assert found["doubling"]["images"] == 24
    assert found["picture"] == "curve.svg"


def test_code_of_the_documentation_runs(folder, settings, tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "transfer.md").read_text(encoding="utf-8")
    section = page.split("## Few images")[1].split("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, re.S)
    path = settings[-1].removeprefix("model.weights=")
    block = block.replace('"photos/"', repr(str(folder))).replace('"WEIGHTS"', f'{path!r}, "data.image_size": 32')
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(block, "transfer.md", "exec"), names)
    assert names["record"]["n"] == 36
    assert len(names["curve"]) == 4
    assert (tmp_path / "curve.png").is_file()

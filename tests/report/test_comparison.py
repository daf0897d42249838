"""The page that compares runs."""

from __future__ import annotations

import re

import pytest
from small_run import HOSTILE, predictions, write_run

import cnnrecipes as cr
from cnnrecipes.errors import RunError


def page(runs, tmp_path, **options) -> str:
    return cr.write_comparison(runs, path=tmp_path / "comparison.html", **options).read_text(encoding="utf-8")


def words(text: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def test_runs_on_the_same_images_are_compared_by_mcnemars_test(tmp_path):
    worse, better = predictions("validation", right=0.5), predictions("validation", right=0.97)
    runs = [
        write_run(tmp_path / "first", kept=[worse]),
        write_run(tmp_path / "second", kept=[better], **{"optimizer.learning_rate": 0.03}),
    ]
    text = words(page(runs, tmp_path))
    only_first, only_second = int((worse.right & ~better.right).sum()), int((better.right & ~worse.right).sum())
    assert f"second is better than first: {better.right.mean():.1%} against {worse.right.mean():.1%}" in text
    assert f"only second is right on {only_second}, only first on {only_first}; McNemar" in text
    assert "optimizer.learning_rate" in text
    assert "0.03" in text
    assert "train.epochs" not in text  # equal
    assert "data-values=" in page(runs, tmp_path)


def test_equal_predictions_cannot_be_told_apart(tmp_path):
    runs = [write_run(tmp_path / name, kept=[predictions("validation")]) for name in ("a", "b")]
    text = words(page(runs, tmp_path))
    assert "b and a cannot be told apart on these images" in text
    assert "The recipes are equal." in text


def test_other_images_and_missing_predictions_are_told(tmp_path):
    kept = [predictions("validation"), predictions("validation", n=60)]
    runs = [write_run(tmp_path / name, kept=[one]) for name, one in zip("ab", kept, strict=True)]
    assert "the runs have different validation images" in words(page(runs, tmp_path))
    runs[1] = write_run(tmp_path / "c", epochs=2)
    text = words(page(runs, tmp_path))
    assert "not all runs have kept predictions of the same split" in text
    assert "so far, unfinished" in text


def test_three_runs_and_hostile_names(tmp_path):
    kept = [predictions("validation", HOSTILE, seed=seed) for seed in range(3)]
    runs = [write_run(tmp_path / name, class_names=HOSTILE, kept=[one]) for name, one in zip("abc", kept, strict=True)]
    text = page(runs, tmp_path)
    assert "(corrected)" in text
    assert text.count("<script") == 1
    assert "<img" not in text


def test_wrong_numbers_of_runs_are_errors(tmp_path):
    run = write_run(tmp_path / "run")
    for runs, message in (([run], "there are 1 runs"), ([run, run], "given twice"), ([run] * 9, "there are 9 runs")):
        with pytest.raises(RunError, match=message):
            page(runs, tmp_path)
    with pytest.raises(RunError, match="not on 'train'"):
        page([run, write_run(tmp_path / "other")], tmp_path, split="train")

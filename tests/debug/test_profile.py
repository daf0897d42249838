"""The throughput profile: its parts add up to the step, the job is not changed, and the advice follows the times."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from adaptation import write_photos
from doc_blocks import run_block
from legible import assert_legible

import cnnrecipes as cr
from cnnrecipes.cli.profile import _print
from cnnrecipes.debug.examined_training import opened_subject
from cnnrecipes.debug.input_timing import input_shares
from cnnrecipes.debug.profile import Profile, require_steps
from cnnrecipes.debug.profile_advice import Facts, advice
from cnnrecipes.debug.step_timing import StepTimes, step_times
from cnnrecipes.errors import TrainingError, WriteError
from cnnrecipes.recipe import catalog
from cnnrecipes.runs import checkpoint

TIMES = StepTimes(whole=0.1, augmentation=0.0, forward=0.03, backward=0.06, update=0.01)
SHARES = {"read": 0.1, "decode": 0.7, "augmentation": 0.2}
FOUND = Profile("a", "resnet8", "CPU with 2 cores", 64, TIMES, 0.11, 0.02, SHARES, "a smaller model", "it is faster")


def facts(**changes):
    recipe = catalog.load("resnet20_cifar")
    own = {name: changes.pop(name) for name in list(changes) if name in Facts.__dataclass_fields__}
    defaults = {"gpu": False, "dtype": "float32", "xla": False, "encoded": True, "decoded_gib": 1.0}
    return Facts(recipe=recipe.change(**changes), **{**defaults, "training_images": 50_000, **own})


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """By the example of the documentation, with all parts."""
    path = tmp_path_factory.mktemp("profile") / "profile.png"
    changes = {"augment.device": "accelerator", "train.microbatches": 2}
    replace = {"progress=False": "progress=False, **changes", '"profile.png"': "path"}
    return run_block("debugging.md", "Where the time goes", replace, changes=changes, path=path)["found"], path


def test_parts_add_up_to_the_step(found):
    """Separately compiled parts, on a machine that may be busy: they do not add up to more than some ten percent."""
    profile, path = found
    times = profile.step
    parts = times.augmentation + times.forward + times.backward + times.update
    assert all(seconds > 0 for seconds in (times.augmentation, times.forward, times.backward, times.update))
    assert parts == pytest.approx(times.whole, rel=0.5)
    assert profile.table["seconds"].sum() == pytest.approx((1 + profile.error) * profile.training)
    assert path.stat().st_size > 10_000


def test_record_is_json(found):
    record = json.loads(json.dumps(found[0].record()))
    assert record["bound"] in ("input", "compute")
    assert set(record["images_per_second"]) == {"input", "step", "training"}


def test_timing_restores_all_variables():
    with opened_subject("resnet8_digits", changes={"optimizer.ema": 0.9}) as job:
        before = checkpoint.capture(job.model.checkpoint_variables())
        step_times(job, 2)
        after = checkpoint.capture(job.model.checkpoint_variables())
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({}, {"read", "decode", "augmentation"}),
        ({"data.cache": "memory"}, {"read", "augmentation"}),
        ({"augment.ops": ["random_resized_crop"]}, {"read", "decode"}),
        ({"augment.device": "accelerator"}, {"read", "decode"}),
    ],
)
def test_work_of_the_input_is_divided(tmp_path, changes, parts):
    changes = {"data.image_size": 64, "data.batch_size": 8, "augment.ops": ["rotate(30)", "blur(1.0)"], **changes}
    folder = write_photos(tmp_path, train=24, size=200)
    with opened_subject("photos_from_scratch", str(folder), changes={"model.name": "resnet8", **changes}) as job:
        shares = input_shares(job.pipeline)
    assert set(shares) == parts
    assert sum(shares.values()) == pytest.approx(1)


def test_conclusion_names_the_slower_half_and_the_setting():
    assert str(FOUND) == (
        "compute-bound: the input pipeline alone gives 3,200 images/s, the step alone takes 640, both together 582. "
        "First try a smaller model: it is faster."
    )
    slow = replace(FOUND, input=0.2, training=0.21)
    assert slow.bound == "input"
    assert slow.waiting == pytest.approx(0.11)
    assert slow.table["seconds"].sum() == pytest.approx(slow.training)


@pytest.mark.parametrize(
    ("bound", "shares", "changes", "change"),
    [
        ("input", {"decode": 1.0}, {}, "data.cache=memory"),
        ("input", {"decode": 1.0}, {"decoded_gib": 9.5}, "data.cache=disk data.cache_gb=10"),
        ("input", {"decode": 1.0}, {"data.cache": "memory"}, "a smaller data.image_size"),
        ("input", {"augmentation": 1.0}, {"gpu": True}, "augment.device=accelerator"),
        ("input", {"augmentation": 1.0}, {}, "fewer or cheaper augment.ops"),
        ("compute", {}, {"gpu": True, "train.precision": "float32"}, "train.precision=auto"),
        ("compute", {}, {"gpu": True, "dtype": "bfloat16"}, "train.xla=true"),
        ("compute", {}, {"gpu": True, "dtype": "bfloat16", "xla": True}, "a larger data.batch_size"),
        ("compute", {}, {"train.microbatches": 4}, "train.microbatches=2"),
        ("compute", {}, {}, "a smaller data.image_size or model"),
    ],
)
def test_advice_follows_the_times(bound, shares, changes, change):
    assert advice(bound, TIMES, shares, facts(**changes))[0] == change


def test_advice_for_a_large_update_or_augmentation():
    assert advice("compute", replace(TIMES, update=0.2), {}, facts())[0] == "a larger data.batch_size"
    assert advice("compute", replace(TIMES, augmentation=0.2), {}, facts())[0] == "augment.device=host"
    catalog.load("resnet20_cifar").change(**{"augment.device": "host"})


def test_bar_has_a_character_for_each_part(capsys):
    _print(FOUND)
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert len(lines[0]) == pytest.approx(72, abs=2)
    assert set(lines[0]) == set("░▓█▚")
    assert "their sum is 0.0% less than the step" in " ".join(text.split())


def test_command_keeps_the_profile_of_a_run_for_its_report(digits_run, tmp_path, run_cli):
    folder = shutil.copytree(digits_run.folder, tmp_path / "run")
    status, out, err = run_cli("profile", str(folder), "--steps", "10", "--json")
    assert (status, err) == (0, f"wrote {folder}/profile.json\n")
    record = json.loads((folder / "profile.json").read_text())
    assert record == {name: value for name, value in json.loads(out).items() if name != "picture"}
    assert (record["model"], record["batch_size"]) == ("resnet8", digits_run.recipe.data.batch_size)


def test_plot_is_legible():
    assert_legible(cr.plot_profile(FOUND))
    assert_legible(cr.plot_profile(replace(FOUND, input=0.5, training=0.51)))


def test_recipe_without_steps_is_refused():
    job = SimpleNamespace(plan=SimpleNamespace(trains_by_steps=False), recipe=SimpleNamespace(name="features_photos"))
    with pytest.raises(TrainingError, match="features_photos fits a logistic regression .* has no training steps"):
        require_steps(job)


@pytest.mark.parametrize("steps", [9, 0, True, 10.0])
def test_too_few_steps_are_refused(steps):
    with pytest.raises(TrainingError, match="steps is .*; give a whole number of at least 10"):
        cr.profile("resnet8_digits", steps=steps)


def test_path_is_checked_before_the_work(tmp_path):
    with pytest.raises(WriteError):
        cr.write_profile("resnet8_digits", path=tmp_path / "none" / "a.png")

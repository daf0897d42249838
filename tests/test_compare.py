"""`compare` and `compare_runs` on real trainings: killed and continued, refused, and displayed."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from doc_blocks import run_block

import cnnrecipes as cr
from cnnrecipes.comparison.shared_settings import PLAN
from cnnrecipes.errors import CNNRecipesWarning, DataError, RecipeError, RunError, UnknownNameError

NAME = "resnet8_digits_norm"
SMALL = {
    "train.epochs": 2,
    "data.train_images": 100,
    "data.batch_size": 16,
    "augment.ops": [],
    "optimizer.warmup": "0 epochs",
    "model.depths": [1],
    "model.widths": [16],
    "logging.loggers": [],
    "logging.watch": "off",
}
ARGUMENTS = ["resnet8_digits", "model.norm=batch,group", *(f"{key}={value}" for key, value in SMALL.items())]
OVER = {"model.norm": ["batch", "group"]}
RUNS = ("norm=batch/seed_0", "norm=group/seed_0", "norm=group/seed_1", "norm=batch/seed_1")  # in this order


def wait_for(path: Path, process: subprocess.Popen, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"no {path}"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> tuple[Path, dict[str, int]]:
    """The parent folder of a comparison killed by SIGKILL in its third training, and when the others were finished."""
    workdir = tmp_path_factory.mktemp("comparisons")
    command = [sys.executable, "-m", "cnnrecipes", "compare", *ARGUMENTS, "--seeds", "2", "--workdir", str(workdir)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ))
    wait_for(workdir / NAME / RUNS[2] / "recipe.toml", process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = {run: (workdir / NAME / run / "metrics.json").stat().st_mtime_ns for run in RUNS[:2]}
    assert not (workdir / NAME / RUNS[2] / "metrics.json").exists()
    return workdir, done


@pytest.fixture(scope="module")
def continued(killed) -> cr.Comparison:
    """The killed comparison, continued by the same call."""
    return cr.compare("resnet8_digits", over=OVER, seeds=2, workdir=killed[0], progress=False, **SMALL)


def test_same_call_continues_after_sigkill_and_trains_no_finished_run_again(killed, continued):
    workdir, done = killed
    for run in RUNS:
        assert (workdir / NAME / run / "metrics.json").is_file()
    assert done == {run: (workdir / NAME / run / "metrics.json").stat().st_mtime_ns for run in done}
    assert [len(row) for row in continued.scores.values()] == [2, 2]


def test_variants_of_a_seed_share_data_and_seed(killed, continued):
    runs = {run: cr.Run(killed[0] / NAME / run) for run in RUNS}
    for run, found in runs.items():
        assert found.recipe.train.seed == int(run[-1])
        assert found.recipe.model.norm == run.split("/")[0].removeprefix("norm=")
    answers = [found.answers(split="validation") for found in runs.values()]
    assert len({one.images for one in answers}) == 1
    assert answers[0].right.mean() == pytest.approx(runs[RUNS[0]].metrics["validation"]["accuracy"])
    weights = [cr.Run(killed[0] / NAME / run).metrics["weights"] for run in RUNS]
    assert len(set(weights)) == 4


def test_table_has_paired_differences_and_costs(continued):
    table = continued.table.set_index("variant")
    runs = continued.runs.pivot(index="seed", columns="variant", values="accuracy")
    differences = runs["norm=group"] - runs["norm=batch"]
    assert table.loc["norm=group", "difference"] == pytest.approx(differences.mean())
    assert math.isnan(table.loc["norm=batch", "difference"])
    assert table.loc["norm=batch", "verdict"] == "baseline"
    assert table.loc["norm=group", "parameters"] == table.loc["norm=batch", "parameters"] == 5018
    assert (table["multiply_adds"] > 0).all()
    assert (table["seconds_per_epoch"] > 0).all()
    assert "validation split (179 images)" in continued.sentence
    assert "also chose the epoch" in continued.sentence


def test_files_and_displays(continued, tmp_path):
    record = json.loads((continued.folder / "comparison.json").read_text())
    assert record["baseline"] == "norm=batch"
    assert [one["run"] for one in record["runs"]] == [RUNS[0], RUNS[3], RUNS[1], RUNS[2]]
    assert record["conclusion"] == continued.sentence
    assert (continued.folder / "comparison.png").stat().st_size > 5000
    assert len(pd.read_csv(continued.folder / "runs.csv")) == 4
    assert pd.read_csv(continued.folder / "table.csv")["variant"].tolist() == ["norm=batch", "norm=group"]
    continued.write_table(tmp_path / "table.parquet")
    assert pd.read_parquet(tmp_path / "table.parquet")["seeds"].tolist() == [2, 2]
    assert "norm=group" in repr(continued)
    assert "<table" in continued._repr_html_()
    with pytest.raises(RunError, match=r"table.xls.*\.csv or \.parquet"):
        continued.write_table(tmp_path / "table.xls")


def test_command_prints_table_and_sentences_of_finished_trainings(run_cli, killed, continued, tmp_path):
    command = ["compare", *ARGUMENTS, "--seeds", "2", "--workdir", str(killed[0])]
    code, out, _ = run_cli(*command, "--baseline", "group", "--table", "t.csv")
    assert code == 0
    assert out.count("trained before") == 4
    assert "difference, 95% interval" in out
    assert "norm=batch and norm=group cannot be told apart" in " ".join(out.split())
    assert len(pd.read_csv(tmp_path / "t.csv")) == 2
    code, out, _ = run_cli(*command, "--json", "--split", "test")
    found = json.loads(out)
    assert (code, found["split"], found["n"]) == (0, "test", 359)


def test_one_seed_is_compared_by_mcnemar_on_predictions(killed, continued):
    found = cr.compare("resnet8_digits", over=OVER, seeds=1, workdir=killed[0], progress=False, **SMALL)
    one = found.contrasts["norm=group"]
    runs = [cr.Run(killed[0] / NAME / run) for run in RUNS[:2]]
    answers = [run.answers(split="validation").right for run in runs]
    assert (one.method, one.n) == ("mcnemar", 179)
    assert one.difference == pytest.approx(answers[1].mean() - answers[0].mean())
    assert "McNemar" in found.sentence


def test_two_runs_are_compared_on_the_same_images(killed, continued, run_cli):
    folders = [killed[0] / NAME / run for run in RUNS[:2]]
    found = cr.compare_runs(*folders)
    counts = found.counts
    assert counts.n == 179
    first, second = (cr.Run(folder).metrics["validation"]["accuracy"] for folder in folders)
    assert counts.accuracies == pytest.approx((first, second))
    assert counts.interval[0] <= counts.difference <= counts.interval[1]
    names = [str(folder) for folder in folders]
    code, out, _ = run_cli("compare", *names, "--split", "test", "--json")
    assert (code, json.loads(out)["n"]) == (0, 359)
    assert "only" in run_cli("compare", *names)[1]
    assert run_cli("compare", *names, "--seeds", "3")[0] == 2


def test_two_runs_on_given_data_and_other_classes(killed, continued):
    folders = [killed[0] / NAME / run for run in RUNS[:2]]
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    data = (images, np.arange(20) % 10)
    assert cr.compare_runs(*folders, data).counts.n == 20
    splits = {"validation": data, "test": (images[:7], data[1][:7])}
    assert cr.compare_runs(*folders, splits).counts.n == 20
    assert cr.compare_runs(*folders, splits, split="test").counts.n == 7
    with pytest.raises(DataError, match="has no validation split; it has test"):
        cr.compare_runs(*folders, {"test": data})
    with pytest.raises(RunError, match="given twice"):
        cr.compare_runs(folders[0], folders[0])
    with pytest.raises(RunError, match="not a run folder"):
        cr.compare_runs(folders[0], killed[0])


def test_runs_on_other_splits_are_refused(killed, continued, tmp_path):
    folders = [killed[0] / NAME / run for run in RUNS[:2]]
    moved = tmp_path / "moved"
    shutil.copytree(folders[1], moved)
    recipe = (moved / "recipe.toml").read_text()
    (moved / "recipe.toml").write_text(recipe.replace("split_seed = 0", "split_seed = 1"))
    with pytest.raises(RunError, match="they differ in data.split_seed 0 and 1"):
        cr.compare_runs(folders[0], moved)


def refused(killed, match: str, error=RunError, over=OVER, **changes):
    given = {"seeds": 2, "workdir": killed[0], "progress": False, **SMALL, **changes}
    with pytest.raises(error, match=match):
        cr.compare("resnet8_digits", over=over, **given)


def test_folder_of_other_trainings_is_refused_with_what_differs(killed, continued):
    refused(killed, "train.epochs was 2 and is 3", **{"train.epochs": 3})
    refused(
        killed,
        "is another comparison, of 'norm=batch', 'norm=group'",
        over={"model.activation": ["relu", "elu"]},
        name=NAME,
    )
    plan = json.loads((continued.folder / PLAN).read_text())
    try:
        changed = {**plan, "code": {**plan["code"], "cnnrecipes/layers": "0", "keras": "3.0.0"}}
        (continued.folder / PLAN).write_text(json.dumps(changed))
        refused(killed, "trained by other code: cnnrecipes/layers was 0 and is .*; keras was 3.0.0")
        changed = {**plan, "data": {**plan["data"], "training_images": 7}}
        (continued.folder / PLAN).write_text(json.dumps(changed))
        refused(killed, "trained on other data: data.training_images was 7 and is 1259")
    finally:
        (continued.folder / PLAN).write_text(json.dumps(plan))


def test_run_of_another_recipe_inside_the_folder_is_refused(killed, continued):
    path = continued.folder / RUNS[1] / "recipe.toml"
    text = path.read_text()
    try:
        path.write_text(text.replace("learning_rate = 0.1", "learning_rate = 0.2"))
        refused(killed, "run of another recipe: optimizer.learning_rate was 0.2 and is 0.1")
    finally:
        path.write_text(text)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"seeds": 0}, RecipeError, "seeds is 0"),
        ({"seeds": 1, "until_clear": True}, RecipeError, "2 seeds or more"),
        ({"until_clear": True, "max_seeds": 1}, RecipeError, "max_seeds is 1"),
        ({"split": "train"}, RecipeError, "split is 'train'"),
        ({"margin": 5}, RecipeError, "margin is 5"),
        ({"baseline": "layer"}, UnknownNameError, "baseline 'layer'"),
        ({"name": "a/b"}, RunError, "without /"),
        ({"name": "new", "data.validation": 0.0}, DataError, "no validation split to compare on"),
        ({"name": "new", "model.norm_groups": 3}, cr.ModelError, "the variant 'norm=group'"),
    ],
)
def test_bad_calls_are_refused_before_any_training(killed, changes, error, said):
    refused(killed, said, error, **changes)
    assert not (killed[0] / "new").exists()


def test_later_commands_keep_the_record_of_the_earlier_ones(killed, continued):
    """Of another split, of other seeds, and of fewer variants; then the first one again."""
    others = [{"split": "test"}, {"seeds": 1}, {"baseline": "group"}]
    for changes in others:
        cr.compare("resnet8_digits", over=OVER, workdir=killed[0], progress=False, **{"seeds": 2, **SMALL, **changes})
    continued.write()
    record = json.loads((continued.folder / "comparison.json").read_text())
    assert record["conclusion"] == continued.sentence
    kept = [(one["split"], one["baseline"], len(one["runs"])) for one in record["earlier"]]
    for expected in [("test", "norm=batch", 4), ("validation", "norm=batch", 2), ("validation", "norm=group", 4)]:
        assert kept.count(expected) == 1
    assert ("validation", "norm=batch", 4) not in kept
    assert all("earlier" not in one for one in record["earlier"])


def test_damaged_record_is_refused_before_any_training(killed, continued):
    path = continued.folder / "comparison.json"
    text = path.read_text()
    try:
        path.write_text(text[:100])
        refused(killed, r"cannot read .*comparison.json.*; move it away", seeds=3)
        assert not (continued.folder / "norm=batch" / "seed_2").exists()
    finally:
        path.write_text(text)


def test_t_test_after_until_clear_is_warned_of_in_the_result_too(killed, continued, tmp_path):
    shutil.copytree(continued.folder, tmp_path / NAME)
    given = {"over": OVER, "workdir": tmp_path, "progress": False, "seeds": 2, **SMALL}
    (tmp_path / NAME / "comparison.json").unlink()
    found = cr.compare("resnet8_digits", until_clear=True, max_seeds=2, **given)
    assert found.caution == ""
    for _ in range(2):  # also the second time
        with pytest.warns(CNNRecipesWarning, match="was chosen by its results before"):
            found = cr.compare("resnet8_digits", **given)
        assert found.remark.endswith(found.caution)
        assert "was chosen by its results before" in found.caution
        record = json.loads((tmp_path / NAME / "comparison.json").read_text())
        assert (record["caution"], len(record["earlier"])) == (found.caution, 1)


def test_code_of_the_documentation_runs(killed, continued, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    given = {"workdir": killed[0], "progress": False, **SMALL}
    names = run_block("comparing.md", "In Python", {"seeds=5)": "seeds=2, **given)"}, given=given)
    assert names["found"].table["seeds"].tolist() == [2, 2]
    assert (tmp_path / "norms.png").is_file()
    assert len(pd.read_csv(tmp_path / "norms.csv")) == 2


def test_command_names_the_nearest_key(run_cli):
    code, _, err = run_cli("compare", "resnet8_digits", "model.nrom=batch,group")
    assert code == 2
    assert "did you mean model.norm" in err
    assert run_cli("compare", "resnet8_digits")[0] == 2

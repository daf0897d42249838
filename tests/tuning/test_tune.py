"""A whole search: its trials are runs, bit-equal to `fit`; what it writes, and what it refuses."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_search import DATA, RECIPE, SPACE

import cnnrecipes as cr
from cnnrecipes.recipe.toml import read_toml
from cnnrecipes.tuning.seeds import trial_seed


def search_in(folder: Path, **options):
    options = {"space": SPACE, "trials": 3, "best": 2, "seeds": 2, "progress": False, **options}
    return cr.tune(RECIPE, DATA, workdir=folder, **options)


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    return search_in(tmp_path_factory.mktemp("searches"))


def metrics(search, run: str) -> dict:
    return json.loads((search.folder / run / "metrics.json").read_text())


def test_table_has_a_row_per_trial(search):
    table = search.trials
    columns = ["trial", "status", "reason", "seed", "score", "best_epoch", "epochs", "seconds", "started", "run"]
    assert list(table.columns) == [*columns, *SPACE]
    assert table.trial.tolist() == [1, 2, 3]
    assert set(table.status) == {"completed"}
    assert table.seed.tolist() == [trial_seed(0, number) for number in (1, 2, 3)]
    assert table.epochs.tolist() == [2, 2, 2]
    assert (table.seconds > 0).all()
    assert pd.to_datetime(table.started).is_monotonic_increasing
    assert table["optimizer.learning_rate"].between(1e-3, 1).all()
    assert table["train.label_smoothing"].isin([0.0, 0.1]).all()


def test_trial_is_a_run_with_the_score_of_its_saved_epoch(search):
    for row, record in zip(search.trials.itertuples(), search.records, strict=True):
        run = cr.Run.open(search.folder / row.run)
        assert run.finished
        assert run.recipe.train.seed == row.seed
        assert run.recipe.search is None
        history = run.history.set_index("epoch").val_accuracy
        assert row.score == pytest.approx(history[row.best_epoch], abs=1e-6)
        assert record.history(search.folder, "val_accuracy") == pytest.approx(history.to_dict())
        assert run.evaluate(DATA, "validation")["accuracy"] == pytest.approx(row.score, abs=1e-6)


def test_trial_is_bit_equal_to_fit(search, tmp_path):
    trial = search.records[-1]  # after others in the same process
    run = cr.fit(RECIPE, DATA, seed=trial.seed, workdir=tmp_path, progress=False, **trial.values)
    assert run.metrics["weights"] == metrics(search, trial.run)["weights"]
    for own, other in zip(run.model.get_weights(), search.run(3).model.get_weights(), strict=True):
        np.testing.assert_array_equal(own, other)
    assert run.recipe == search.run(3).recipe


def test_only_the_winner_is_evaluated_on_the_test_split(search):
    result = search.result
    tested = {
        path.parent.name for path in search.folder.rglob("metrics.json") if "test" in json.loads(path.read_text())
    }
    assert tested == {Path(run).name for run in result["test"]["runs"]}
    assert len(tested) == 2
    assert {path.parent.name for path in search.folder.rglob("predictions.parquet")} == tested
    for name in result["test"]["runs"]:
        run = cr.Run.open(search.folder / name)
        assert run.predictions("test").right.mean() == run.metrics["test"]["accuracy"]
        assert run.predictions().right.mean() == pytest.approx(run.metrics["validation"]["accuracy"], abs=1e-6)
    assert all(name.startswith(f"{result['winner']:04d}_") for name in tested)
    assert [reading["trial"] for reading in search.document["test_readings"]] == [result["winner"]]
    assert result["test"]["n"] == 80


def test_retrained_seeds_were_not_used_and_the_end_is_honest(search):
    result, used = search.result, set(search.trials.seed)
    assert len(result["candidates"]) == 2
    again = [one for candidate in result["candidates"] for one in candidate["again"]]
    assert len(again) == 4
    assert not {one["seed"] for one in again} & used
    for candidate in result["candidates"]:
        assert candidate["mean"] == pytest.approx(np.mean([one["score"] for one in candidate["again"]]))
        assert candidate["std"] == pytest.approx(np.std([one["score"] for one in candidate["again"]], ddof=1))
    best = max(result["candidates"], key=lambda one: one["mean"])
    assert result["winner"] == best["trial"]
    text = " ".join(result["sentences"])
    assert "Trained again with 2 seeds that the search did not use" in text
    assert "when trained again" in text
    assert "read once, for the winner alone" in text
    assert "standard deviation" in text
    assert "paired t test over 2 seeds, Holm's correction" in text
    assert search.best.folder.name == Path(best["again"][0]["run"]).name
    assert search.best_recipe.optimizer.learning_rate == best["values"]["optimizer.learning_rate"]
    assert "Search of small" in repr(search)


def test_same_search_twice_gives_the_same_trials(search, tmp_path):
    again = search_in(tmp_path, trials=1, best=0)
    keys = ["trial", "seed", "score", "best_epoch", *SPACE]
    pd.testing.assert_frame_equal(again.trials[keys], search.trials[keys][:1])
    assert metrics(again, "trials/0001")["weights"] == metrics(search, "trials/0001")["weights"]
    assert "too high by an unknown amount" in " ".join(again.result["sentences"])
    # The search goes on, and its end is made again; the test split is read again only for other models.
    assert cr.Search.open(again.folder).finished
    more = search_in(tmp_path, trials=2, best=0)
    pd.testing.assert_frame_equal(more.trials[keys], search.trials[keys][:2])
    assert more.result["winner"] == again.result["winner"] == 1
    assert len(more.document["test_readings"]) == 1
    assert "read once, for the winner alone" in " ".join(more.result["sentences"])
    larger = search_in(tmp_path, trials=2, best=1, seeds=1)
    assert len(larger.document["test_readings"]) == 2
    assert "read 2 times, since the search was enlarged: for trial 1, then for trial 1" in str(larger)


def test_smaller_search_leaves_the_result_as_it_is(search, capsys):
    before = {path: path.read_bytes() for path in search.folder.rglob("*") if path.is_file()}
    assert search_in(search.folder.parent, trials=1, best=0, progress=True).result == search.result
    assert "a smaller one is a part of; its result is unchanged" in " ".join(capsys.readouterr().out.split())
    assert {path: path.read_bytes() for path in search.folder.rglob("*") if path.is_file()} == before


def test_enlarged_search_is_not_finished_before_its_new_end(search, tmp_path):
    folder = shutil.copytree(search.folder, tmp_path / "copy")
    (folder / "recipe.toml").write_text(search.recipe.change(**{"search.trials": 9}).to_toml())
    enlarged = cr.Search.open(folder)
    assert not enlarged.finished
    assert "cnnrecipes tune --resume" in repr(enlarged)
    assert enlarged.best.folder.parent.name == "trials"  # the best of the search, not the old winner's training
    assert "Not finished: 3 of 9 trials" in enlarged.page().read_text()


def test_finished_search_is_returned_without_training(search):
    before = {path: path.stat().st_mtime_ns for path in search.folder.rglob("*") if path.is_file()}
    again = search_in(search.folder.parent)
    assert again.result == search.result
    assert {path: path.stat().st_mtime_ns for path in search.folder.rglob("*") if path.is_file()} == before
    assert cr.resume_search(search.folder, DATA, progress=False).result == search.result


def test_search_of_another_version_of_the_code_says_so(search, tmp_path, capsys):
    folder = shutil.copytree(search.folder, tmp_path / "search_small")
    (folder / "search.json").write_text(json.dumps({**search.document, "code": {"keras": "3.0.0"}}))
    search_in(tmp_path, progress=True)
    assert "the code has changed since this search began" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, "search.seed was 0 and is 1"),
        ({"space": {"optimizer.momentum": "uniform(0, 0.9)"}}, "search.space.optimizer.momentum was null"),
        ({"optimizer.weight_decay": 0.0}, "recipe.optimizer.weight_decay was 0.0005 and is 0.0"),
        ({"pruning": "median"}, 'search.pruning was "none" and is "median"'),
    ],
)
def test_another_search_in_the_folder_is_refused(search, options, message):
    with pytest.raises(cr.RunError, match=message):
        search_in(search.folder.parent, **options)


def test_failed_trials_do_not_end_the_search(tmp_path):
    space = {"optimizer.learning_rate": "log(1e30, 1e35)", "model.widths": [[16], [1_000_000_000]]}
    search = search_in(tmp_path, space=space, trials=3, seed=6)
    table = search.trials
    assert table.status.tolist() == ["failed"] * 3
    assert sum("out of memory" in reason for reason in table.reason) == 1
    assert sum("the loss is nan" in reason for reason in table.reason) == 2
    assert table.score.isna().all()
    assert "No trial has a result" in " ".join(search.result["sentences"])
    with pytest.raises(cr.RunError, match="no trial of the search"):
        _ = search.best


def test_errors_that_values_do_not_cause_end_the_search_and_are_retried(tmp_path):
    # Each value alone can be built; group norm of 7 groups cannot.
    space = {"model.norm": ["batch", "group"], "model.norm_groups": [8, 7]}
    options = {"space": space, "best": 0, "train.epochs": 1}
    blocked = search_in(tmp_path, **options, trials=2).folder / "trials/0003"
    blocked.write_text("a file in place of the run folder")
    with pytest.raises(cr.RunError, match="0003"):
        search_in(tmp_path, **options, trials=4)
    search = cr.Search.open(tmp_path / "search_small")
    assert search.trials.status.tolist()[2:] == ["running"]
    blocked.unlink()
    search = cr.resume_search(search.folder, DATA, progress=False)
    fits = [one.values != {"model.norm": "group", "model.norm_groups": 7} for one in search.records]
    assert fits.count(False) == 1
    assert search.trials.status.tolist() == ["completed" if fit else "failed" for fit in fits]
    assert "7" in search.trials.reason[fits.index(False)]


@pytest.mark.skipif(sys.platform == "win32", reason="the size of a file is limited on POSIX systems")
def test_full_disk_ends_the_search_and_a_resume_continues_the_trial(tmp_path):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))  # checkpoints are larger
    try:
        with pytest.raises((cr.DiskFull, cr.WriteError)):
            search_in(tmp_path, trials=1, best=0, **{"train.epochs": 1})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    search = cr.Search.open(tmp_path / "search_small")
    assert search.trials.status.tolist() == ["running"]
    assert cr.resume_search(search.folder, DATA, progress=False).trials.status.tolist() == ["completed"]


def test_exhausted_space_ends_the_search_with_a_sentence(tmp_path, capsys):
    space = {"optimizer.momentum": [0.0, 0.9]}
    search = search_in(tmp_path, space=space, trials=10, best=0, progress=True, objective="val_loss")
    assert sorted(search.trials["optimizer.momentum"]) == [0.0, 0.9]
    assert "all 2 combinations of the space were tried; the search ends" in " ".join(capsys.readouterr().out.split())
    recipe = cr.Recipe.recorded(read_toml(search.folder / "trials/0001/recipe.toml"), "trial")
    assert recipe.train.monitor == "loss"
    losses = search.run(1).history.val_loss
    assert search.trials.score[0] == pytest.approx(losses.min())


def test_search_needs_a_validation_split(tmp_path):
    with pytest.raises(cr.DataError, match="compares trials on a validation split"):
        cr.tune(RECIPE, DATA["train"], space=SPACE, workdir=tmp_path, progress=False, **{"data.validation": 0.0})


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"optimizer.learning_rat": "log(1e-3, 1)"}, r"unknown key.*did you mean optimizer\.learning_rate"),
        ({"optimizer.momentum": "uniform(0, 1)"}, r"optimizer\.momentum = 1\.0 is a value that the recipe does not"),
        ({"model.norm": ["batch", "bathc"]}, r"model\.norm = \"bathc\" is a value that the recipe does not accept"),
        (
            {
                "model.norm_groups": {"values": [8, 7], "when": {"model.norm": "group"}},
                "model.norm": ["group", "batch"],
            },
            r"model\.norm_groups = 7 is a value with which the model cannot be built.*multiple",
        ),
        ({"model.name": ["resnet8", "resnet9"]}, r"model\.name = \"resnet9\".*unknown model 'resnet9'"),
        ({"train.seed": "int(0, 9)"}, "each trial has its own seed"),
        ({"data.validation": [0.1, 0.2]}, "other validation images cannot be compared"),
        ({"search.trials": [1, 2]}, "a setting of the search itself"),
    ],
)
def test_space_is_checked_before_anything_runs(tmp_path, space, message):
    with pytest.raises(cr.RecipeError, match=message):
        cr.tune(RECIPE, DATA, space=space, workdir=tmp_path, progress=False)
    assert not list(tmp_path.iterdir())

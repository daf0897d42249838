"""Experiments: every case is trained once, interrupted experiments continue, settings are validated."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

import cnnrecipes as cr
from cnnrecipes.experiments import lecture
from cnnrecipes.models import ARCHITECTURES
from cnnrecipes.recipe import catalog

SMALL = {"data": "digits", "pixels": 8, "images": 60, "epochs": 1, "progress": False}


@pytest.fixture(scope="module", autouse=True)
def small_nets():
    """The experiment with two of its cases, the residual one smaller."""
    cases = (
        lecture.Case("plain", 20, {"model.name": "plain20"}),
        lecture.Case("residual", 8, {"model.name": "resnet8"}),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(lecture.EXPERIMENTS, "small_nets", replace(lecture.find("plain_and_residual"), cases=cases))
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiments")
    return folder, lecture.run("small_nets", workdir=folder, **SMALL)


def test_each_case_has_a_history_and_a_run(done):
    folder, frame = done
    assert list(zip(frame["kind"], frame["size"], strict=True)) == [
        ("plain", 20),
        ("residual", 8),
    ]
    assert frame.loss.between(1.5, 4).all()
    models = [cr.load(run).recipe.model.name for run in sorted((folder / "small_nets" / "runs").iterdir())]
    assert sorted(models) == ["plain20", "resnet8"]


def test_interrupted_experiment_trains_the_missing_cases_only(done):
    folder, frame = done
    path = folder / "small_nets" / "histories.csv"
    whole = pd.read_csv(path)
    whole[whole["kind"] == "plain"].to_csv(path, index=False)  # as if killed in the second training
    runs = len(list((folder / "small_nets" / "runs").iterdir()))
    again = lecture.run("small_nets", workdir=folder, **SMALL)
    assert len(list((folder / "small_nets" / "runs").iterdir())) == runs + 1
    columns = ["kind", "size", "loss", "val_accuracy"]
    pd.testing.assert_frame_equal(again[columns], frame[columns], check_dtype=False)
    lecture.run("small_nets", workdir=folder, **SMALL)
    assert len(list((folder / "small_nets" / "runs").iterdir())) == runs + 1


def test_cases_use_known_architectures_and_scaled_learning_rates():
    cases = [case for experiment in lecture.EXPERIMENTS.values() for case in experiment.cases]
    assert {case.changes["model.name"] for case in cases} <= set(ARCHITECTURES)
    recipes = [catalog.load(lecture.RECIPE).change(**case.changes) for case in cases]  # none is refused
    assert [recipe.model.name for recipe in recipes] == [case.changes["model.name"] for case in cases]
    norms = lecture.find("norms_and_batches").cases
    assert {case.size for case in norms} == {2, 8, 128}
    assert all(case.changes["optimizer.learning_rate"] == pytest.approx(0.1 * case.size / 128) for case in norms)


@pytest.mark.parametrize("name", lecture.EXPERIMENTS)
def test_plot_has_a_line_for_each_kind_or_case(name):
    experiment = lecture.find(name)
    rows = [
        {
            "kind": c.kind,
            "size": c.size,
            "epoch": e,
            "loss": 2 / e,
            "accuracy": 0.1,
            "val_loss": 2,
            "val_accuracy": 0.1 * e,
        }
        for c in experiment.cases
        for e in (1, 2, 3)
    ]
    figure = experiment.plot(pd.DataFrame(rows), experiment.size)
    lines = {line.get_label(): line for line in figure.axes[1].lines}
    assert len(lines) in (len(experiment.cases), len({case.kind for case in experiment.cases}))
    assert all(max(line.get_ydata()) == pytest.approx(30) for line in lines.values())


@pytest.mark.parametrize(
    ("name", "setting", "words"),
    [
        ("plain_and_residal", {}, "unknown experiment.*did you mean plain_and_residual"),
        ("plain_and_residual", {"epoch": 3}, "unknown setting 'epoch'.*did you mean epochs"),
        ("plain_and_residual", {"epochs": "3"}, "epochs is '3'; give int, for example 20"),
        ("plain_and_residual", {**SMALL, "images": 4000}, "digits has .* training images; 4000 to train on"),
    ],
)
def test_invalid_experiment_or_setting_raises(name, setting, words, tmp_path):
    with pytest.raises(cr.CNNRecipesError, match=words):
        lecture.run(name, workdir=tmp_path, **setting)

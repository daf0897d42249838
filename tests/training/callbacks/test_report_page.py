"""report.html during a training: when it is written, and that its errors do not affect the training."""

from __future__ import annotations

import pytest
from small_search import DATA, RECIPE

import cnnrecipes as cr
from cnnrecipes.report.writing import REPORT
from cnnrecipes.training.callbacks import report_page

EPOCHS = 3


def train(folder, **changes):
    return cr.fit(RECIPE, DATA, workdir=folder, progress=False, **{"train.epochs": EPOCHS, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """`logging.report` -> the run, and the kinds of pages in the order in which they were written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_page, "SHARE", 1e9)
        patch.setattr(report_page, "SHORT", 1e9)
        found = {}
        for when in ("epoch", "end", "off"):
            kinds: list[str] = []
            with pytest.MonkeyPatch.context() as noted:
                note(noted, kinds, "during")
                note(noted, kinds, "after")
                found[when] = train(tmp_path_factory.mktemp("runs"), **{"logging.report": when}), kinds
        return found


def note(patch, kinds, kind):
    real = getattr(report_page, f"write_page_{kind}_training")

    def write(*arguments):
        kinds.append(kind)
        return real(*arguments)

    patch.setattr(report_page, f"write_page_{kind}_training", write)


def test_report_is_written_as_the_recipe_says(trained):
    kinds = {when: written for when, (_, written) in trained.items()}
    assert kinds == {"epoch": ["during"] * (EPOCHS - 1) + ["after"], "end": ["after"], "off": []}
    assert {when: (run.folder / REPORT).is_file() for when, (run, _) in trained.items()} == {
        "epoch": True,
        "end": True,
        "off": False,
    }


def test_weights_do_not_depend_on_the_report(trained):
    assert len({run.metrics["weights"] for run, _ in trained.values()}) == 1


def test_report_of_arrays_has_their_pictures(trained):
    page = (trained["end"][0].folder / REPORT).read_text(encoding="utf-8")
    assert page.count("<img") == 24  # without Grad-CAM
    assert "the training took less than 1e+09 s: <code>cr.write_report(" in page
    assert "160 training images of arrays in 10 classes" in page


def test_error_of_the_report_is_one_line_and_the_training_goes_on(tmp_path, monkeypatch, capsys):
    def fail(*arguments):
        raise ValueError("no\nreport")

    monkeypatch.setattr(report_page, "write_page_during_training", fail)
    run = cr.fit(RECIPE, DATA, workdir=tmp_path, **{"train.epochs": EPOCHS})
    assert run.finished
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("report.html cannot be written (no report); the training is not affected") == 1
    assert not (run.folder / REPORT).exists()


def test_training_that_ends_by_nan_has_a_report(tmp_path):
    with pytest.raises(cr.NonFinite):
        train(tmp_path, **{"optimizer.learning_rate": 1e30, "optimizer.clip_norm": None})
    page = next(tmp_path.glob("*/report.html")).read_text(encoding="utf-8")
    assert "the loss became" in page
    assert "Training:" not in page


def test_reports_take_at_most_one_percent_of_the_time(monkeypatch):
    clock, spent = [0.0], []
    monkeypatch.setattr(report_page.time, "monotonic", lambda: clock[0])

    def write(run, rates):
        clock[0] += 0.02
        spent.append(0.02)

    monkeypatch.setattr(report_page, "write_page_during_training", write)
    callback = object.__new__(report_page.ReportPage)
    callback.__dict__ |= {"when": "epoch", "not_before": 0.0, "run": None, "say": print, "_rates": None}

    class Job:
        class recipe:
            class train:
                epochs = 10_000

    callback.job = Job
    for epoch in range(1000):
        clock[0] += 0.1
        callback.on_epoch_end(epoch)
    assert spent
    assert sum(spent) <= 0.011 * clock[0]

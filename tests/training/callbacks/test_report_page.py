"""report.html during a training: when it is written, and that its errors do not affect the training."""

from __future__ import annotations

import pytest
from small_search import DATA, RECIPE

import cnnrecipes as cr
from cnnrecipes.report.writing import REPORT
from cnnrecipes.training.callbacks import report_page

EPOCHS = 3


@pytest.fixture
def written(monkeypatch):
    """The kinds of pages in the order in which they are written."""
    found = []

    def noted(kind):
        real = getattr(report_page, f"write_page_{kind}_training")

        def write(*arguments):
            found.append(kind)
            return real(*arguments)

        monkeypatch.setattr(report_page, f"write_page_{kind}_training", write)

    noted("during")
    noted("after")
    monkeypatch.setattr(report_page, "SHARE", 1e9)
    return found


def train(tmp_path, **changes):
    return cr.fit(RECIPE, DATA, workdir=tmp_path, progress=False, **{"train.epochs": EPOCHS, **changes})


@pytest.mark.parametrize(
    ("when", "kinds"), [("epoch", ["during"] * (EPOCHS - 1) + ["after"]), ("end", ["after"]), ("off", [])]
)
def test_report_is_written_as_the_recipe_says(tmp_path, written, when, kinds):
    run = train(tmp_path, **{"logging.report": when})
    assert written == kinds
    assert (run.folder / REPORT).is_file() is bool(kinds)


def test_error_of_the_report_is_one_line_and_the_training_goes_on(tmp_path, monkeypatch, capsys):
    def fail(*arguments):
        raise ValueError("no\nreport")

    monkeypatch.setattr(report_page, "write_page_during_training", fail)
    run = cr.fit(RECIPE, DATA, workdir=tmp_path, **{"train.epochs": EPOCHS})
    assert run.finished
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("report.html cannot be written (no report); the training is not affected") == 1
    assert not (run.folder / REPORT).exists()


def test_weights_do_not_depend_on_the_report(tmp_path):
    runs = [train(tmp_path, **{"logging.report": when}) for when in ("epoch", "off")]
    assert runs[0].metrics["weights"] == runs[1].metrics["weights"]


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

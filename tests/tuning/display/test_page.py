"""The page of a search in all states, as HTML; in a browser see test_browser.py."""

from __future__ import annotations

import json
import re
import time

import pytest
from page_document import Document
from small_search import DATA, RECIPE, SPACE
from synthetic_search import many_trials, search_with, trial

import cnnrecipes as cr
from cnnrecipes.cli.app import app
from cnnrecipes.errors import RunError, WriteError
from cnnrecipes.tuning.display.page_writer import PageWriter

EVIL = "<script>alert(1)</script>'\"&\u202e"
VALUES = {"optimizer.learning_rate": 0.1, "optimizer.name": "adamw", "train.label_smoothing": 0.1}


def document(search) -> Document:
    return Document(search.page().read_text(encoding="utf-8"))


def test_page_of_a_real_search_begins_with_the_answer(tmp_path, capsys):
    search = cr.tune(RECIPE, DATA, workdir=tmp_path, space=SPACE, trials=2, best=1, seeds=2)
    assert f"{search.folder}/search.html shows the search" in capsys.readouterr().out
    page = Document((search.folder / "search.html").read_text(encoding="utf-8"))
    result = search.result
    for sentence in result["sentences"]:
        assert sentence in page.text
    assert f"{result['test']['accuracy']:.2%}" in page.text
    assert re.search(r"95% interval \d+\.\d\d% to \d+\.\d\d% of 80 images", page.text)
    assert f"{result['values']['optimizer.learning_rate']:.4g}" in page.text
    assert page.text.index("Result") < page.text.index("Best so far") < page.text.index("Trials")
    assert f"cnnrecipes tune --resume {search.folder} --trials 4" in page.text
    assert 'learning_rate" = "log(1e-3, 1)"' in page.text  # the recipe
    assert "<iframe" in search._repr_html_()
    search.page().unlink()
    cr.resume_search(search, DATA, progress=False)
    assert (search.folder / "search.html").is_file()


def test_page_before_the_first_trial(tmp_path):
    page = document(search_with(tmp_path / "search", []))
    assert "Not finished: 0 of 20 trials" in page.text
    assert "No trial was started yet." in page.text
    assert page.count("svg") == 0


def test_page_while_the_first_trial_is_running(tmp_path):
    running = trial(1, VALUES, None, "running", epochs=0, seconds=0.0)
    page = document(search_with(tmp_path / "search", [running]))
    assert "(1 running)" in page.text
    assert "No trial is completed yet." in page.text
    assert page.count("circle") == 0


def test_page_of_one_trial(tmp_path):
    page = document(search_with(tmp_path / "search", [trial(1, VALUES, 0.75)]))
    assert "75.00%" in page.text
    assert "With 1 trial the importances of the keys cannot be told" in page.text
    assert page.count("g", "best") >= 1


def test_page_of_failed_trials_has_the_reasons(tmp_path):
    trials = [trial(n, VALUES, None, "failed", reason=f"out of memory {n}") for n in (1, 2)]
    page = document(search_with(tmp_path / "search", trials))
    assert "No trial is completed: 2 of 2 failed, for example trial 1: out of memory 1" in page.text
    assert "out of memory 2" in page.text
    assert page.count("path", "failed") == 2 * 3 + 1  # a mark in the slice of each active key, and the legend


def test_names_are_escaped(tmp_path):
    space = {"augment.ops": [[EVIL], ["flip_lr"]], "optimizer.learning_rate": "log(1e-3, 1)"}
    values = {"augment.ops": [EVIL], "optimizer.learning_rate": 0.1}
    trials = [trial(1, values, 0.5), trial(2, values, None, "failed", reason=EVIL)]
    search = search_with(tmp_path / "search", trials, space)
    page = document(search)
    assert page.count("script") == 1
    assert "\u202e" not in page.text
    assert "<script>alert(1)</script>" in page.text  # as text
    assert "<script>" not in search._repr_html_().partition("srcdoc=")[2]


def test_page_of_200_keys_shows_some_and_says_so(tmp_path):
    space = {f"model.key{i}": "uniform(0, 1)" for i in range(200)}
    trials = [trial(n, dict.fromkeys(space, n * 0.618 % 1), 0.1 * n) for n in range(1, 6)]
    page = document(search_with(tmp_path / "search", trials, space))
    assert "Shown are 10 of 200 keys" in page.text
    assert "and 184 more" in page.text


def test_every_trial_has_a_row_and_a_line(tmp_path):
    page = document(search_with(tmp_path / "search", many_trials(40)))
    rows = [attrs["data-t"] for tag, attrs in page.elements if tag == "tr" and "data-t" in attrs]
    assert sorted(map(int, rows)) == list(range(1, 41))
    assert page.count("g", "l") == 35 + 5  # the trials with a score, and the legend
    assert "the loss became NaN at step 3 & <b>stopped</b>" in page.text


def test_charts_have_names_for_screen_readers(tmp_path):
    text = search_with(tmp_path / "search", many_trials(20)).page().read_text()
    charts = re.findall(r"<svg[^>]*role='img'[^>]*aria-labelledby='([^']*)'", text)
    assert len(charts) == 2 + 1 + 1 + 4
    for name in " ".join(charts).split():
        assert text.count(f"id='{name}'") == 1


def test_page_loads_nothing(tmp_path):
    text = search_with(tmp_path / "search", many_trials(20)).page().read_text()
    assert "Content-Security-Policy" in text
    assert not re.search(r"https?://|src=|@import|url\(", text)


def test_page_after_each_of_100_trials_takes_less_than_a_fifth_of_a_second(tmp_path):
    search = search_with(tmp_path / "search", [])
    writer, spent = PageWriter(search, print), 0.0
    for one in many_trials(100):
        one.write(search.folder)
        writer.not_before = 0.0
        started = time.process_time()
        writer.write()
        spent += time.process_time() - started
    assert spent / 100 < 0.2
    assert "100 of 20 trials" in (search.folder / "search.html").read_text()
    assert len((search.folder / "search.html").read_text()) < 500_000


def test_an_error_of_the_page_does_not_end_the_search(tmp_path):
    search = search_with(tmp_path / "search", many_trials(3))
    (search.folder / "search.html").mkdir()
    said = []
    writer = PageWriter(search, said.append)
    writer.write()
    writer.write()
    assert len(said) == 1
    assert "the search goes on without" in said[0]
    with pytest.raises(WriteError):
        search.page()


@pytest.mark.parametrize("what", ["progress", "parallel", "importances", "slices"])
def test_plots_are_written(tmp_path, what):
    search = search_with(tmp_path / "search", many_trials(25))
    search.plot(what, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_plots_of_nothing_and_of_unknown_kinds_are_errors(tmp_path):
    search = search_with(tmp_path / "search", [])
    with pytest.raises(RunError, match="has a score to plot"):
        search.plot()
    with pytest.raises(RunError, match="no plot 'pie'; give one of progress"):
        search.plot("pie")


def test_command_writes_page_and_table(tmp_path, capsys):
    search = search_with(tmp_path / "search", many_trials(3))
    table = tmp_path / "trials.csv"
    app(["search-page", str(search.folder), "--table", str(table), "--quiet"], standalone_mode=False)
    assert capsys.readouterr().out == f"wrote {search.folder}/search.html\nwrote {table}\n"
    assert (search.folder / "search.html").is_file()
    assert len(table.read_text().splitlines()) == 4
    app(["search-page", str(search.folder), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["page"] == str(search.folder / "search.html")

"""The page of a search in a headless Chromium: sorting, highlighting, keyboard, console and network."""

from __future__ import annotations

import pytest
from browser import CHROMIUM, MISSING, Browser
from synthetic_search import many_trials, search_with

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
COLUMN = "[...document.querySelectorAll('table.trials tbody tr')].map(row => row.cells[{}].textContent)"
CLICK = "document.querySelectorAll('table.trials th button')[{}].click()"


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return search_with(tmp_path_factory.mktemp("searches") / "search", many_trials(30)).page()


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (390, False)])
def test_page_fits_its_width_without_errors_or_requests(browser, path, width, dark):
    browser.open(path, width=width, dark=dark)
    assert browser.problems == []
    assert browser.requests == [path.resolve().as_uri()]
    assert browser.run("document.documentElement.scrollWidth") == width
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(22, 25, 29)" if dark else "rgb(255, 255, 255)")


def test_table_sorts_numbers_by_value_and_empty_cells_last(browser, path):
    browser.open(path)
    browser.run(CLICK.format(0))
    assert browser.run(COLUMN.format(0)) == [str(number) for number in range(30, 0, -1)]
    assert browser.run("document.querySelector('table.trials th').getAttribute('aria-sort')") == "descending"
    browser.run(CLICK.format(2))
    down = browser.run(COLUMN.format(2))
    browser.run(CLICK.format(2))
    up = browser.run(COLUMN.format(2))
    scores = [float(text.rstrip("%")) for text in up if text]
    assert scores == sorted(scores)
    assert len(scores) == 26
    assert up[26:] == down[26:] == [""] * 4
    assert [float(text.rstrip("%")) for text in down if text] == sorted(scores, reverse=True)
    assert browser.problems == []


def test_hovering_a_line_highlights_its_trial_everywhere(browser, path):
    browser.open(path)
    hover = (
        "document.querySelector('.l[data-t=\"5\"] .hit').dispatchEvent(new MouseEvent('mouseover', {bubbles: true}))"
    )
    browser.run(hover)
    assert browser.run("[...new Set([...document.querySelectorAll('.on')].map(one => one.dataset.t))]") == ["5"]
    assert browser.run("document.querySelectorAll('.m.on').length") >= 4
    assert browser.run("document.querySelector('.chosen').textContent").startswith("trial 5, completed, val_accuracy")


def test_arrow_keys_go_through_the_trials_from_the_best(browser, path):
    browser.open(path)
    best = browser.run("document.querySelector('tr.won').dataset.t")
    browser.run("document.querySelector('.lines').focus()")
    browser.press("ArrowDown")
    assert browser.run("document.querySelector('.chosen').textContent").startswith(f"trial {best}, completed")
    browser.press("ArrowDown")
    second = browser.run("document.querySelector('.l.on').dataset.t")
    assert second != best
    browser.press("ArrowUp")
    assert browser.run("document.querySelector('.l.on').dataset.t") == best
    browser.press("Escape")
    assert browser.run("document.querySelectorAll('.on').length") == 0


def test_names_run_no_script(browser, tmp_path):
    name = "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">"
    space = {"augment.ops": [[name], ["flip_lr"]], "optimizer.learning_rate": "log(1e-3, 1)"}
    trials = many_trials(3)
    for one in trials:
        one.values.update({"augment.ops": [name]})
    browser.open(search_with(tmp_path / "search", trials, space).page())
    assert browser.run("document.title") == "Search of resnet8_digits"
    assert browser.problems == []

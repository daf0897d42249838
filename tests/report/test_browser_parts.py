"""The map of the features, the label errors and the tables of the report in a headless Chromium."""

from __future__ import annotations

import pandas as pd
import pytest
from browser import CHROMIUM, MISSING, Browser
from small_run import HOSTILE, predictions, write_run

import cnnrecipes as cr
from cnnrecipes.debug.label_issues import write_label_issues

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
MAP = "document.querySelector('svg.map')"
READOUT = "document.querySelector('.cloud .readout').textContent"
VIEWER = "document.querySelector('#viewer')"
PAINTED = (
    "[...document.querySelector('.cloud canvas').getContext('2d').getImageData(0, 0, 256, 256).data]"
    ".filter((value, i) => i % 4 === 3 && value > 0).length"
)
SELECT = (
    "(one => {{ one.value = '{}'; one.dispatchEvent(new Event('change')) }})(document.querySelector('.cloud select'))"
)


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(measured_run):
    return measured_run.folder / "report.html"


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, True), (320, False)])
def test_page_fits_its_width_without_errors_or_requests(browser, page, width, dark):
    browser.open(page, width=width, dark=dark)
    browser.run("document.querySelector('[data-thumbs]').click()")
    assert browser.problems == []
    assert [one for one in browser.requests if not one.startswith("data:")] == [page.resolve().as_uri()]
    assert browser.run("document.documentElement.scrollWidth") == width


def test_names_of_corruptions_are_on_one_line_on_a_phone(browser, page):
    browser.open(page, width=390)
    heights = browser.run(
        "[...document.querySelectorAll('.heatmap tbody th span')].map(one => one.getClientRects()[0].height)"
    )
    assert len(heights) == 12
    assert max(heights) < 30
    assert browser.run("document.querySelectorAll('.heatmap tbody td:not(.sum)').length") == 60
    assert browser.run("(one => one.scrollWidth <= one.clientWidth)(document.querySelector('.heatmap').parentElement)")


def test_map_begins_with_a_wrong_prediction_and_its_thumbnail(browser, page, measured_run):
    browser.open(page)
    kept = measured_run.predictions("test")
    first = next(i for i in range(len(kept)) if not kept.right[i])
    browser.call("Runtime.evaluate", expression="new Promise(done => setTimeout(done, 50))", awaitPromise=True)
    assert kept.files[first] in browser.run(READOUT)
    assert browser.run(PAINTED) == 256 * 256


def test_arrow_keys_go_to_the_nearest_image_in_a_direction(browser, page):
    browser.open(page)
    browser.run(f"{MAP}.focus()")
    place = f"(one => [Number(one.getAttribute('cx')), Number(one.getAttribute('cy'))])({MAP}.querySelector('.ring'))"
    for key, axis, sign in (("ArrowRight", 0, 1), ("ArrowLeft", 0, -1), ("ArrowDown", 1, 1), ("ArrowUp", 1, -1)):
        before = browser.run(place)
        browser.press(key)
        after = browser.run(place)
        assert before == after or sign * (after[axis] - before[axis]) > 0
    assert "predicted" in browser.run(READOUT)
    browser.press("Escape")
    assert browser.run(READOUT) == ""
    assert browser.run(f"{MAP}.querySelector('.ring')") is None
    assert browser.problems == []


def test_pointer_shows_the_image_below_it(browser, page, measured_run):
    browser.open(page)
    browser.run(f"{MAP}.scrollIntoView()")
    box = browser.run(
        f"(one => {{ const b = one.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] }})"
        f"({MAP}.querySelector('[data-i=\"7\"]'))"
    )
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
    told = browser.run(READOUT)
    assert told.startswith(measured_run.predictions("test").class_names[measured_run.predictions("test").truth[7]])
    assert "train[" in told


def test_a_class_and_the_wrong_ones_are_highlighted(browser, page, measured_run):
    browser.open(page)
    kept = measured_run.predictions("test")
    for value, count in (("3", int((kept.truth == 3).sum())), ("wrong", int((~kept.right).sum())), ("", len(kept))):
        browser.run(SELECT.format(value))
        assert browser.run(f"{MAP}.querySelectorAll('.point.on').length") == count
    assert not browser.run(f"{MAP}.classList.contains('dimmed')")


def test_thumbnails_are_shown_on_the_map(browser, page):
    browser.open(page)
    shown = f"getComputedStyle({MAP}.querySelector('.thumbs')).display !== 'none'"
    assert not browser.run(shown)
    browser.run("document.querySelector('[data-thumbs]').click()")
    assert browser.run(shown)
    assert browser.run("document.querySelector('[data-thumbs]').getAttribute('aria-pressed')") == "true"
    assert browser.run(f"{MAP}.querySelectorAll('.thumbs use').length") > 20


def test_label_error_is_enlarged_beside_grad_cam_of_the_suggestion(browser, page):
    browser.open(page)
    browser.run("document.querySelector('#label-issues .card').click()")
    assert browser.run(f"{VIEWER}.querySelector('h3').textContent") == "train[0]"
    assert browser.run(f"{VIEWER}.querySelectorAll('img').length") == 2
    assert "Grad-CAM of 9: brighter, more evidence" in browser.run(f"{VIEWER}.textContent")
    assert "labelled 4 (probability 10.0%), rather 9" in browser.run(f"{VIEWER}.textContent")
    browser.press("ArrowRight")
    assert browser.run(f"{VIEWER}.querySelector('h3').textContent") == "train[2]"


@pytest.mark.parametrize("width", [1200, 390])
def test_names_run_no_script_and_do_not_break_the_layout(browser, tmp_path, width):
    run = write_run(tmp_path / "run", class_names=HOSTILE, kept=[predictions("test", HOSTILE)])
    table = pd.DataFrame({"position": range(120), "x": [i * i % 97 for i in range(120)], "y": range(120)})
    table.assign(split="test").to_csv(run.folder / "embedding.csv", index=False)
    columns = ["file", "position", "given", "suggested", "score"]
    issues = [(f"{name}.png", i, name, HOSTILE[0], 0.1) for i, name in enumerate(HOSTILE)]
    write_label_issues(pd.DataFrame(issues, columns=columns), run.folder / "label_issues.csv")
    browser.open(cr.write_report(run), width=width)
    browser.run(f"{MAP}.focus()")
    browser.press("ArrowRight")
    assert browser.run("document.title") == "run: training report"
    assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.run("document.querySelectorAll('main script:not([type]), [onerror]').length") == 0
    assert browser.problems == []

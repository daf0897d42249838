"""The report in a headless Chromium: layout, sorting, filtering, zoom, pictures, keyboard, console, network."""

from __future__ import annotations

import numpy as np
import pytest
from browser import CHROMIUM, MISSING, Browser
from small_run import HOSTILE, predictions, write_run

import cnnrecipes as cr

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
ROWS = "[...document.querySelectorAll('#classes-table tbody tr')].filter(row => !row.hidden)"
COLUMN = ROWS + ".map(row => row.cells[{}].textContent.trim())"
DARK = {"name": "prefers-color-scheme", "value": "dark"}
FRAME = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
SORT = "document.querySelectorAll('#classes-table th button')[{}].click()"
VIEWER = "document.querySelector('#viewer')"


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def digits(digits_run, tmp_path_factory):
    """The report of a real run, with pictures and Grad-CAM."""
    return cr.write_report(digits_run, path=tmp_path_factory.mktemp("reports") / "digits.html")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """The report of a run of 200 classes."""
    names = [f"class {number}" for number in range(200)]
    run = write_run(
        tmp_path_factory.mktemp("runs") / "many", class_names=names, kept=[predictions("test", names, n=4000)]
    )
    return cr.write_report(run)


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (390, False), (320, True)])
def test_page_fits_its_width_without_errors_or_requests(browser, digits, width, dark):
    browser.open(digits, width=width, dark=dark)
    assert browser.problems == []
    assert [one for one in browser.requests if not one.startswith("data:")] == [digits.resolve().as_uri()]
    assert browser.run("document.documentElement.scrollWidth") == width
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")


def test_printed_page_fits_its_paper_and_is_light(browser, digits):
    browser.open(digits, width=760)
    browser.call("Emulation.setEmulatedMedia", media="print", features=[DARK])
    assert browser.run("document.documentElement.scrollWidth") == 760
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    browser.call("Emulation.setEmulatedMedia", media="")


def test_classes_sort_by_number_and_by_name(browser, digits):
    browser.open(digits)
    browser.run(SORT.format(0))
    assert browser.run(COLUMN.format(0)) == [str(number) for number in range(10)]
    browser.run(SORT.format(2))
    recalls = [float(text.rstrip("%")) for text in browser.run(COLUMN.format(2))]
    assert recalls == sorted(recalls, reverse=True)
    browser.run(SORT.format(2))
    recalls = [float(text.rstrip("%")) for text in browser.run(COLUMN.format(2))]
    assert recalls == sorted(recalls)
    assert browser.run("document.querySelector('#classes-table th[aria-sort]').cellIndex") == 2
    assert browser.problems == []


def test_classes_are_filtered_by_name(browser, many):
    browser.open(many)
    browser.run(
        "const f = document.querySelector('[data-filter]'); f.value = 'CLASS 19'; f.dispatchEvent(new Event('input'))"
    )
    assert sorted(browser.run(COLUMN.format(0))) == sorted(["class 19", *(f"class {n}" for n in range(190, 200))])
    assert browser.run("document.querySelector('[data-count]').textContent") == "11 of 200"
    assert browser.run("document.querySelector('[data-filter]').getBoundingClientRect().width") > 100


def test_matrix_zooms_and_tells_cells_by_keyboard(browser, many):
    browser.open(many)
    browser.run("document.querySelector('.zoom canvas').focus()")
    for key in ("ArrowDown", "ArrowRight"):
        browser.press(key)
    told = browser.run("document.querySelector('.zoom .readout').textContent")
    assert "predicted" in told
    assert " of " in told
    before = browser.run("document.querySelector('.zoom canvas').toDataURL()")
    browser.run("document.querySelector('[data-zoom=next]').click()")
    browser.call("Runtime.evaluate", expression=FRAME, awaitPromise=True)
    assert browser.run("document.querySelector('.zoom .readout').textContent").count("class") == 2
    assert browser.run("document.querySelector('.zoom canvas').toDataURL()") != before
    assert browser.problems == []


def test_click_enlarges_a_picture_with_grad_cam_and_arrow_keys_go_on(browser, digits):
    browser.open(digits)
    browser.run("document.querySelector('.card').click()")
    assert browser.run(f"{VIEWER}.open")
    assert browser.run(f"{VIEWER}.querySelectorAll('img').length") == 2
    assert browser.run(f"[...{VIEWER}.querySelectorAll('img')].every(one => one.complete && one.naturalWidth > 0)")
    first = browser.run(f"{VIEWER}.querySelector('h3').textContent")
    browser.press("ArrowRight")
    assert browser.run(f"{VIEWER}.querySelector('h3').textContent") != first
    browser.run(f"{VIEWER}.querySelector('[data-close]').click()")
    assert not browser.run(f"{VIEWER}.open")
    assert browser.run("document.activeElement.className") == "card"
    assert browser.problems == []


def test_curves_tell_their_values_by_keyboard(browser, digits):
    browser.open(digits)
    browser.run("document.querySelector('#curves svg.plot').focus()")
    browser.press("End")
    told = browser.run("document.querySelector('#curves .readout').textContent")
    assert told.startswith("epoch 6: training ")
    assert ", validation " in told
    browser.press("ArrowLeft")
    assert browser.run("document.querySelector('#curves .readout').textContent").startswith("epoch 5: ")


@pytest.mark.parametrize("width", [1200, 390])
def test_names_run_no_script_and_do_not_break_the_layout(browser, tmp_path, width):
    run = write_run(tmp_path / "run", class_names=HOSTILE, kept=[predictions("test", HOSTILE)])
    images, labels = np.random.default_rng(0).integers(0, 255, (120, 8, 8, 1), np.uint8), np.arange(120) % len(HOSTILE)
    data = {"train": (images, labels), "test": (images, labels), "class_names": list(HOSTILE)}
    browser.open(cr.write_report(run, data), width=width)
    assert browser.run("document.title") == "run: training report"
    assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.problems == []
    browser.run("document.querySelector('.card').click()")
    assert browser.run("document.title") == "run: training report"
    assert browser.run(f"{VIEWER}.querySelectorAll('script, [onerror]').length") == 0


def test_comparison_fits_its_width(browser, tmp_path):
    runs = [write_run(tmp_path / name, kept=[predictions("validation", seed=seed)]) for seed, name in enumerate("ab")]
    path = cr.write_comparison(runs, path=tmp_path / "comparison.html")
    browser.open(path, width=390)
    assert browser.problems == []
    assert browser.run("document.documentElement.scrollWidth") == 390

"""The time of a step by its parts in the report, from the record of `profile`."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from page_document import document, squeezed
from small_run import predictions, write_run

from cnnrecipes.debug.profile import Profile
from cnnrecipes.debug.step_timing import StepTimes

TIMES = StepTimes(whole=0.1, augmentation=0.0, forward=0.03, backward=0.06, update=0.01)
SHARES = {"read": 0.1, "decode": 0.7, "augmentation": 0.2}
FOUND = Profile("a", "resnet8", "CPU with 2 cores", 64, TIMES, 0.11, 0.02, SHARES, "a smaller model", "it is faster")


def bars(found) -> list[tuple[str, float, float]]:
    """Class, beginning and width of each part of the bars."""
    return [
        (one["class"].split()[1], float(one["x"]), float(one["width"]))
        for one in found.found("rect", "part")
        if "x" in one
    ]


def test_bar_has_the_parts_in_proportion(tmp_path):
    run = write_run(tmp_path / "run", kept=[predictions()])
    assert FOUND.keep(run) == run.folder / "profile.json"
    found = document(run)
    widths = {kind: width + 1 for kind, _, width in bars(found)[:4]}  # a pixel is left between them
    assert widths["run1"] == pytest.approx(2 * widths["run0"], rel=0.01)  # backward, forward
    assert widths["run1"] == pytest.approx(6 * widths["run2"], rel=0.02)  # update
    assert "compute-bound: the input pipeline alone gives 3,200 images/s" in squeezed(found.text)
    assert "resnet8 on CPU with 2 cores, batches of 64." in squeezed(found.text)
    assert "cnnrecipes profile" not in found.text


def test_parts_do_not_overlap(tmp_path):
    run = write_run(tmp_path / "run", kept=[predictions()])
    FOUND.keep(run)
    drawn = bars(document(run))
    step, of_input = drawn[:4], drawn[4:]
    assert len(of_input) == 3
    for some in (step, of_input):
        for (_, x, width), (_, after, _) in pairwise(some):
            assert x + width <= after


def test_difference_of_the_sum_is_told(tmp_path):
    run = write_run(tmp_path / "run", kept=[predictions()])
    slow = Profile("a", "resnet8", "CPU", 64, StepTimes(0.1, 0.02, 0.05, 0.06, 0.01), 0.1, 0.02, SHARES)
    slow.keep(run)
    assert "their sum is 40% more than the step" in document(run).text


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps(FOUND.record() | {"training": "NaN"})])
def test_damaged_record_is_said_with_the_command(tmp_path, text):
    run = write_run(tmp_path / "run", kept=[predictions()], **{"data.name": "digits"})
    (run.folder / "profile.json").write_text(text)
    found = document(run, pictures=False)
    assert "profile.json" in found.text
    assert f"cnnrecipes profile {run.folder}" in found.text


def test_run_without_a_profile_names_the_command(tmp_path):
    run = write_run(tmp_path / "run", kept=[predictions()], **{"data.name": "digits"})
    assert f"cnnrecipes profile {run.folder} measures where the time" in document(run, pictures=False).text


def test_names_in_the_record_are_text(tmp_path):
    run = write_run(tmp_path / "run", kept=[predictions()])
    record = FOUND.record() | {"device": "<script>1</script>", "conclusion": '"><img src=x onerror=1>'}
    (run.folder / "profile.json").write_text(json.dumps(record))
    found = document(run)
    assert found.count("script") == 1
    assert found.count("img") == 0

"""The record of evaluations, and the caution about seeds that were added by looking at the results."""

from __future__ import annotations

import json

import pytest

from cnnrecipes.comparison.record import RECORD, Question, caution, read_evaluations, write_evaluation
from cnnrecipes.errors import RunError


def evaluation(labels="ab", seeds=3, baseline="a", split="validation", sequential=False, margin=0.0, said=""):
    return {
        "baseline": baseline,
        "split": split,
        "sequential": sequential,
        "caution": said,
        "table": [{"variant": label} for label in labels],
        "contrasts": [{"label": label, "margin": margin} for label in labels if label != baseline],
        "runs": [{"variant": label, "seed": seed} for label in labels for seed in range(seeds)],
        "code": {"keras": "3"},
    }


def test_evaluations_are_kept_until_the_same_question_is_asked_again(tmp_path):
    assert read_evaluations(tmp_path) == []
    for one in (evaluation("abc"), evaluation("ab"), evaluation("ab", split="test"), evaluation("abc")):
        write_evaluation(tmp_path, one)
    found = [Question.of(one) for one in read_evaluations(tmp_path)]
    assert [("".join(sorted(one.labels)), one.split) for one in found] == [
        ("abc", "validation"),
        ("ab", "test"),
        ("ab", "validation"),
    ]
    record = json.loads((tmp_path / RECORD).read_text())
    assert record["code"] == {"keras": "3"}
    assert all("code" not in one for one in record["earlier"])


def said(now, *before):
    return caution(Question.of(now), before)


def test_more_seeds_after_a_look_are_cautioned_about():
    assert "evaluated with 3 seeds before, and now with 5" in said(evaluation(seeds=5), evaluation(seeds=3))
    assert "evaluated with 3 seeds" in said(evaluation(seeds=5, baseline="b"), evaluation(seeds=3))
    assert said(evaluation(seeds=3), evaluation(seeds=3)) == ""
    assert said(evaluation(seeds=5), evaluation(seeds=1)) == ""
    assert said(evaluation(seeds=5, sequential=True), evaluation(seeds=3)) == ""
    assert said(evaluation("ac", seeds=5), evaluation("ab", seeds=3)) == ""


def test_t_test_after_until_clear_is_cautioned_about():
    assert "chosen by its results" in said(evaluation(seeds=8), evaluation(seeds=8, sequential=True))
    assert said(evaluation(seeds=1), evaluation(seeds=8, sequential=True)) == ""


def test_repeated_evaluation_keeps_its_caution_whatever_came_between():
    assert said(evaluation(seeds=5), evaluation(seeds=8, sequential=True), evaluation(seeds=5)) == ""
    assert said(evaluation(seeds=5), evaluation(seeds=5, said="careful")) == "careful"


@pytest.mark.parametrize("text", ["{", "[]", '{"baseline": "a"}'])
def test_damaged_record_is_an_error(tmp_path, text):
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(RunError, match=r"cannot read .*comparison\.json"):
        read_evaluations(tmp_path)

"""The answer of a search in HTML: the winner's values, its scores in the search, after it, and on the test split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnrecipes.errors import counted
from cnnrecipes.figures.svg import escaped
from cnnrecipes.runs.intervals import wilson
from cnnrecipes.tuning.display.axes import shown_value
from cnnrecipes.tuning.display.snapshot import Snapshot
from cnnrecipes.tuning.records import FAILED

_VALUES = 16  # keys that are shown at once


def answer(view: Snapshot) -> str:
    """Return the result of a search as an HTML section; before its end, the best trial so far, or why there is none."""
    if view.result and view.result.get("winner") is not None:
        return _box("Result", _winner(view, view.result) + _sentences(view.result))
    if view.result:
        return _box("Result", _sentences(view.result))
    if view.ranked:
        return _box("Best so far", _so_far(view))
    return _box("Best so far", f"<p>{escaped(_why_none(view))}</p>")


def _box(title: str, content: str) -> str:
    return f"<section class='answer'><h2 style='margin-top:0'>{title}</h2>{content}</section>"


def _winner(view: Snapshot, result: Mapping[str, Any]) -> str:
    winner = next(one for one in result["candidates"] if one["trial"] == result["winner"])
    numbers = [_number(f"{view.objective} in the search", view.shown(winner["score_in_search"]), "chosen as the best")]
    if winner["mean"] is not None:
        seeds = f"mean of {counted(len(winner['again']), 'training')} with new seeds{_spread(view, winner['std'])}"
        numbers.append(_number("after training again", view.shown(winner["mean"]), seeds))
    if test := result.get("test"):
        numbers.append(_test(test))
    again = _candidates(view, result) if any(one["again"] for one in result["candidates"]) else ""
    return f"{_values(result['winner'], result['values'])}<dl class='numbers'>{''.join(numbers)}</dl>{again}"


def _test(test: Mapping[str, Any]) -> str:
    low, high = wilson(round(test["accuracy"] * test["n"]), test["n"])
    words = f"95% interval {low:.2%} to {high:.2%} of {counted(test['n'], 'image')}"
    if test.get("accuracy_std") is not None:
        words += f"; standard deviation of {counted(len(test['accuracies']), 'training')} "
        words += f"{100 * test['accuracy_std']:.2f} points"
    return _number("accuracy on the test split", f"{test['accuracy']:.2%}", words)


def _candidates(view: Snapshot, result: Mapping[str, Any]) -> str:
    """Return an HTML table of the trials that were trained again."""
    rows = []
    for one in result["candidates"]:
        scores = ", ".join(
            view.shown(again["score"]) if again["score"] is not None else "failed" for again in one["again"]
        )
        mean = f"{view.shown(one['mean'])}{_spread(view, one['std'])}" if one["mean"] is not None else "failed"
        rows.append(
            f"<tr><td class='n'>{one['trial']}</td><td class='n'>{view.shown(one['score_in_search'])}</td>"
            f"<td class='n'>{mean}</td><td>{scores}</td></tr>"
        )
    return (
        "<div class='scroll' tabindex='0' role='region' aria-label='Table of the trials that were trained again'>"
        f"<table class='again'><thead><tr><th class='n'>trial</th><th class='n'>in the search</th>"
        f"<th class='n'>trained again, mean</th><th>each training</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _so_far(view: Snapshot) -> str:
    best = view.ranked[0]
    number = _number(
        view.objective, view.shown(best.score), f"the best of {counted(len(view.ranked), 'completed trial')}"
    )
    return (
        f"{_values(best.trial, best.values)}<dl class='numbers'>{number}</dl><p>The best of several scores is too "
        "high, since it was selected for its luck too. At the end of the search the best trials are trained again with "
        "other seeds, and the winner is tested.</p>"
    )


def _values(trial: int, values: Mapping[str, Any]) -> str:
    rows = [
        f"<tr><th scope='row'>{escaped(key)}</th><td>{escaped(shown_value(value))}</td></tr>"
        for key, value in values.items()
    ]
    start, end = "<table class='values'><tbody>", "</tbody></table>"
    table = f"<p>Trial {trial}:</p>{start}{''.join(rows[:_VALUES])}{end}"
    if len(rows) <= _VALUES:
        return table
    more = f"<summary>and {len(rows) - _VALUES} more</summary>"
    return f"{table}<details>{more}{start}{''.join(rows[_VALUES:])}{end}</details>"


def _number(name: str, number: str, words: str) -> str:
    return f"<div><dt>{escaped(name)}</dt><dd>{escaped(number)}<small>{escaped(words)}</small></dd></div>"


def _sentences(result: Mapping[str, Any]) -> str:
    return "".join(f"<p>{escaped(sentence)}</p>" for sentence in result.get("sentences", ()))


def _spread(view: Snapshot, std: float | None) -> str:
    """Return the standard deviation over seeds in words; "" for one seed."""
    if std is None:
        return ""
    return f", standard deviation {100 * std:.2f} points" if view.objective == "val_accuracy" else f", std {std:.2g}"


def _why_none(view: Snapshot) -> str:
    if not view.trials:
        return "No trial was started yet."
    failed = [one for one in view.trials if one.status == FAILED]
    over = [one for one in view.trials if one.over]
    if failed and len(failed) == len(over):
        first = failed[0]
        failures = f"{len(failed)} of {len(failed)} failed"
        return f"No trial is completed: {failures}, for example trial {first.trial}: {first.reason}"
    return "No trial is completed yet."

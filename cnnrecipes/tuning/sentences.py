"""The result of a search in sentences."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from cnnrecipes.comparison.contrasts import p_text
from cnnrecipes.comparison.paired import ALPHA, holm, paired_t
from cnnrecipes.errors import counted
from cnnrecipes.tuning.conclusion import READINGS, Candidate, choose, find_candidates
from cnnrecipes.tuning.display.axes import shown_score
from cnnrecipes.tuning.retraining import finalists
from cnnrecipes.tuning.search import Search


def sentences(search: Search, result: Mapping[str, Any], images: int) -> list[str]:
    """Return the result of a search as sentences for the user.

    Args:
        search: the search, whose trials and trainings after it are over.
        result: as `conclude` returns it.
        images: number of validation images.
    """
    candidates = find_candidates(search)
    winner, ranked = choose(search, candidates), search.ranked()
    lines = [f"{result['counts']}."]
    if winner is None:
        return [*lines, f"No trial has a result: {_why_none(search)}"]
    lines.append(_best_of_search(search))
    if any(one.again for one in candidates):
        tested = [one for one in candidates if one.mean is not None]
        lines.append(_trained_again(search, candidates))
        lines += _winner(search, winner, tested, images) if tested else [_none_reliable(winner, candidates)]
        if tested:
            lines.append(_regression(search, tested, len(finalists(search))))
    else:
        lines.append(
            "It was not trained again with other seeds, so this score is too high by an unknown amount: it is the best "
            f"of {counted(len(ranked), 'completed trial')}. search.best=3 trains the best 3 again."
        )
    lines.append(_test_sentence(result["test"], search.document.get(READINGS, [])))
    return lines


def _best_of_search(search: Search) -> str:
    top, name = finalists(search)[0], search.settings.objective
    shown = f"{shown_score(top.score, name)}, trial {top.trial}"
    if search.ranked():
        return f"Best {name} of the search: {shown}."
    return f"No trial was trained to its end. Best {name} of those that were trained longest: {shown}."


def _trained_again(search: Search, candidates: Sequence[Candidate]) -> str:
    seeds, name = len(candidates[0].again), search.settings.objective
    parts = [
        f"trial {one.trial.trial} {_mean_and_std(search, one)} (in the search {shown_score(one.trial.score, name)})"
        for one in candidates
    ]
    return f"Trained again with {counted(seeds, 'seed')} that the search did not use: {'; '.join(parts)}."


def _winner(search: Search, winner: Candidate, tested: Sequence[Candidate], images: int) -> list[str]:
    """Return the winner, and whether it can be told from the others by the trainings with the same seeds."""
    lines = [f"Trial {winner.trial.trial} wins, with {_mean_and_std(search, winner)}."]
    others = [one for one in tested if one is not winner]
    if not others:
        return lines
    if len(winner.scores) < 2:
        return [*lines, "One seed cannot tell whether it is better than the others; search.seeds=3 trains each thrice."]
    resolution = 1 / images if search.settings.objective == "val_accuracy" else 0.0
    p_values = dict(zip((one.trial.trial for one in others), _against(winner, tested, resolution), strict=True))
    test = f"paired t test over {counted(len(winner.scores), 'seed')}, Holm's correction"
    if unclear := [one for one, p in p_values.items() if p >= ALPHA]:
        p = _p_texts([p_values[one] for one in unclear])
        lines.append(f"It cannot be told from {_named(unclear)}, which may be as good ({test}: {p}).")
    if better := [one for one, p in p_values.items() if p < ALPHA]:
        lines.append(f"It is better than {_named(better)} ({test}: {_p_texts([p_values[one] for one in better])}).")
    return lines


def _against(winner: Candidate, tested: Sequence[Candidate], resolution: float) -> list[float]:
    """Return the p-value of the winner against each other candidate, corrected for all pairs: it was chosen by them.

    Args:
        winner: one of `tested`.
        tested: the candidates, trained with the same seeds.
        resolution: the scores are multiples of it.
    """
    pairs = list(itertools.combinations(tested, 2))
    found = [paired_t([x - y for x, y in zip(a.scores, b.scores, strict=True)], resolution).p for a, b in pairs]
    corrected = holm(found)
    return [p for (a, b), p in zip(pairs, corrected, strict=True) if winner in (a, b)]


def _none_reliable(winner: Candidate, candidates: Sequence[Candidate]) -> str:
    """Return which trainings failed when each of the best trials failed with one of the seeds."""
    first = winner.failures[0]
    who = "It" if len(candidates) == 1 else f"Each of these {counted(len(candidates), 'trial')}"
    return (
        f"{who} failed with at least one seed, so no winner can be relied on; trial {winner.trial.trial} is taken, "
        f"which failed with {len(winner.failures)} of {len(winner.again)} (seed {first.seed}: {first.reason})."
    )


def _regression(search: Search, tested: Sequence[Candidate], trials: int) -> str:
    """Return a sentence about the difference between the scores in the search and after it."""
    sign = 1 if search.settings.maximizes else -1
    fall = statistics.fmean(sign * ((one.trial.score or 0.0) - (one.mean or 0.0)) for one in tested)
    whom = "the score of the search" if len(tested) == 1 else f"the scores of these {len(tested)} in the search"
    if not search.ranked():
        return "Their scores in the search are those of shorter trainings, and cannot be compared with these."
    if fall <= 0:
        return f"On average {whom} did not fall when trained again: there is no sign of luck in the selection."
    return (
        f"On average {whom} fell by {_difference(search, fall)} when trained again: who selects the best of "
        f"{counted(trials, 'completed trial')} selects luck, too (regression to the mean)."
    )


def _test_sentence(test: Mapping[str, Any] | None, readings: Sequence[Mapping[str, Any]]) -> str:
    if test is None:
        return "The data have no test split, so the winner has no score on images that nothing was chosen by."
    trainings = counted(len(test["accuracies"]), "training")
    spread = f", standard deviation {100 * test['accuracy_std']:.2f} points" if test["accuracy_std"] is not None else ""
    return (
        f"Test split ({_reading(readings)}): accuracy {test['accuracy']:.2%}{spread} (n = {test['n']} images, "
        f"{trainings})."
    )


def _reading(readings: Sequence[Mapping[str, Any]]) -> str:
    """Return how often the test split was read, and for which trials."""
    if len(readings) < 2:
        return "read once, for the winner alone"
    trials = ", then for ".join(f"trial {one['trial']}" for one in readings)
    return f"read {len(readings)} times, since the search was enlarged: for {trials}"


def _why_none(search: Search) -> str:
    failed = [one for one in search.records if one.reason]
    return f"for example trial {failed[0].trial}: {failed[0].reason}" if failed else "none was started."


def _mean_and_std(search: Search, one: Candidate) -> str:
    if one.mean is None:
        return f"failed with {len(one.failures)} of {counted(len(one.again), 'seed')}"
    spread = f", standard deviation {_difference(search, one.std)}" if one.std is not None else ""
    return f"mean {shown_score(one.mean, search.settings.objective)}{spread}"


def _difference(search: Search, value: float) -> str:
    return f"{100 * value:.2f} points" if search.settings.objective == "val_accuracy" else f"{value:.4g}"


def _named(trials: Sequence[int]) -> str:
    return " and ".join(f"trial {one}" for one in trials)


def _p_texts(values: Sequence[float]) -> str:
    low, high = p_text(min(values)), p_text(max(values))
    return low if low == high else f"{low} to {high.removeprefix('p = ')}"

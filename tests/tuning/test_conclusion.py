"""The end of a search from its records, without trainings: the winner, and sentences that say what is known of it."""

from __future__ import annotations

from dataclasses import replace

from synthetic_search import search_with, trial

from cnnrecipes.tuning.conclusion import choose, find_candidates
from cnnrecipes.tuning.retraining import finalists, planned, tasks, unfinished_retrainings
from cnnrecipes.tuning.sentences import sentences

VALUES = {"optimizer.name": "adamw", "optimizer.learning_rate": 0.1, "train.label_smoothing": 0.0}
TEST = {"accuracy": 0.95, "accuracy_std": 0.01, "accuracies": [0.94, 0.96], "n": 200, "runs": ["a", "b"]}


def with_retrainings(folder, scores, again):
    """Return a search with these scores, by trial, and those of its best trials with new seeds; None: it failed."""
    trials = [trial(number, VALUES, score) for number, score in scores.items()]
    table = {"best": len(again), "seeds": len(next(iter(again.values())))}
    search = search_with(folder, trials, search=table)
    (folder / "retrained").mkdir()
    seen = dict.fromkeys(again, 0)
    for one, seed in tasks(search):
        score = again[one.trial][seen[one.trial]]
        seen[one.trial] += 1
        replace(planned(one.trial, seed), score=score, reason="" if score else "the loss is nan").write(search)
    return search


def told(search) -> str:
    winner = choose(search, find_candidates(search))
    number = winner.trial.trial if winner else None
    return " ".join(sentences(search, {"counts": search.counts(), "winner": number, "test": TEST}, images=200))


def test_winner_that_cannot_be_told_from_the_others_is_called_so(tmp_path):
    search = with_retrainings(
        tmp_path / "a", {1: 0.99, 2: 0.98, 3: 0.5}, {1: [0.95, 0.97, 0.96], 2: [0.96, 0.95, 0.98]}
    )
    text = told(search)
    assert "Trial 2 wins, with mean 96.33%, standard deviation 1.53 points." in text
    assert "It cannot be told from trial 1, which may be as good (paired t test over 3 seeds" in text
    assert "+-" not in text
    assert "fell by 2.33 points" in text


def test_clear_winner_is_better_than_the_others(tmp_path):
    again = {1: [0.95, 0.96, 0.97, 0.96], 2: [0.85, 0.86, 0.88, 0.85], 3: [0.95, 0.965, 0.965, 0.955]}
    text = told(with_retrainings(tmp_path / "a", {1: 0.99, 2: 0.98, 3: 0.97}, again))
    assert "Trial 1 wins" in text
    assert "It cannot be told from trial 3" in text
    assert "It is better than trial 2 (paired t test over 4 seeds, Holm's correction: p < 0.001)" in text


def test_candidate_with_a_failure_cannot_win(tmp_path):
    search = with_retrainings(tmp_path / "a", {1: 0.99, 2: 0.98}, {1: [0.99, None], 2: [0.9, 0.91]})
    assert choose(search, find_candidates(search)).trial.trial == 2
    assert "trial 1 failed with 1 of 2 seeds (in the search 99.00%)" in told(search)


def test_failures_of_all_candidates_are_named(tmp_path):
    search = with_retrainings(tmp_path / "a", {1: 0.99, 2: 0.98}, {1: [None, None], 2: [0.9, None]})
    text = told(search)
    assert (
        "Each of these 2 trials failed with at least one seed, so no winner can be relied on; trial 2 is taken" in text
    )
    assert "the loss is nan" in text
    assert "not trained again" not in text


def test_pruned_trials_are_trained_to_their_end_if_none_is_completed(tmp_path):
    cut = [trial(1, VALUES, 0.9, "pruned", epochs=2), trial(2, VALUES, 0.7, "pruned", epochs=5)]
    search = search_with(tmp_path / "a", [*cut, trial(3, VALUES, None, "failed")], search={"best": 0, "seeds": 2})
    assert [one.trial for one in finalists(search)] == [2, 1]
    assert [one.trial for one, _ in tasks(search)] == [2, 2]
    assert unfinished_retrainings(search) == 2

"""`until_clear`: which variants get more seeds, on given accuracies in the place of trainings."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from cnnrecipes.compare import _train_all
from cnnrecipes.comparison.accuracy_speed_memory import Score
from cnnrecipes.comparison.contrasts import contrast_all
from cnnrecipes.comparison.variants import make_variants
from cnnrecipes.errors import TrainingError

NORMS = ["batch", "layer", "group"]
VARIANTS = make_variants("resnet8_digits", {"model.norm": NORMS}, {})


class Drawn:
    """Trainings whose accuracies are drawn: a mean for each norm, and a deviation of 0.002 between seeds."""

    split = "validation"

    def __init__(self, random: int = 0, **means: float):
        self.means, self.random, self.order, self.said = means, random, [], []
        self.say = self.said.append

    def trained(self, variant, seed):
        norm = variant.changes["model.norm"]
        self.order.append((seed, norm))
        draw = np.random.default_rng([self.random, seed, NORMS.index(norm)]).normal(0, 0.002)
        accuracy = self.means[norm] + draw
        failed = math.isnan(accuracy)
        return Score(seed, Path("run"), accuracy, 10_000, 1.0, 100.0, None, "here", failed=failed), True


def train(study: Drawn, until_clear: bool = True, fewest: int = 3, most: int = 30):
    return _train_all(study, VARIANTS, VARIANTS[0], range(7, 7 + most), fewest, until_clear, 0.005)


def test_a_variant_whose_answer_is_clear_gets_no_more_seeds():
    study = Drawn(batch=0.95, layer=0.90, group=0.947)
    scores = train(study)
    counts = {label: len(row) for label, row in scores.items()}
    assert counts["norm=layer"] < counts["norm=group"] == counts["norm=batch"] <= 30
    found = contrast_all(scores, "norm=batch", sequential=True, margin=0.005)
    assert found["norm=layer"].verdict == "worse"
    assert found["norm=group"].verdict in ("worse", "alike")
    assert any("norm=group cannot be told from the baseline yet" in line for line in study.said)


def test_equal_variants_end_within_the_margin():
    scores = train(Drawn(batch=0.95, layer=0.95, group=0.95))
    found = contrast_all(scores, "norm=batch", sequential=True, margin=0.005)
    assert {one.verdict for one in found.values()} == {"alike"}
    assert len(scores["norm=batch"]) < 30


def test_most_seeds_end_an_unclear_comparison():
    scores = train(Drawn(batch=0.95, layer=0.9475, group=0.9475), most=4)
    assert [len(row) for row in scores.values()] == [4, 4, 4]


def test_variants_take_turns_seed_by_seed():
    study = Drawn(batch=0.95, layer=0.95, group=0.95)
    train(study, until_clear=False, most=3)
    assert [seed for seed, _ in study.order] == [7, 7, 7, 8, 8, 8, 9, 9, 9]
    assert [norm for _, norm in study.order[:6]] == ["batch", "layer", "group", "layer", "group", "batch"]


def test_diverged_variant_gets_no_more_seeds_and_a_diverged_baseline_is_an_error():
    scores = train(Drawn(batch=0.95, layer=math.nan, group=0.9), until_clear=False, most=3)
    assert [len(row) for row in scores.values()] == [3, 1, 3]
    with pytest.raises(TrainingError, match="baseline 'norm=batch' is not finite at seed 7"):
        train(Drawn(batch=math.nan, layer=0.9, group=0.9), until_clear=False, most=3)


def test_equal_recipes_are_rarely_called_different():
    wrong = 0
    for random in range(60):
        scores = train(Drawn(random, batch=0.95, layer=0.95, group=0.95), fewest=2, most=10)
        found = contrast_all(scores, "norm=batch", sequential=True, margin=0.005)
        wrong += any(one.verdict in ("better", "worse") for one in found.values())
    assert wrong <= 6  # 3 are expected at most

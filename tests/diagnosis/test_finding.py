"""The registry of findings: adding a cause is one function."""

from __future__ import annotations

import numpy as np
import pytest
from training_curves import evidence, healthy, recipe

from cnnrecipes.diagnosis import finding
from cnnrecipes.diagnosis.diagnosis import diagnosed
from cnnrecipes.diagnosis.evidence import Evidence
from cnnrecipes.diagnosis.finding import Finding, causes, finds, without_symptoms
from cnnrecipes.errors import RegistrationError


def test_a_cause_is_one_function(monkeypatch):
    causes()
    monkeypatch.setattr(finding, "_ROWS", dict(finding._ROWS))

    @finds("lucky_seed", order=90)
    def lucky_seed(evidence: Evidence) -> Finding | None:
        return (
            Finding("lucky_seed", "warning", "a lucky seed", ("one seed",)) if evidence.recipe.train.seed == 0 else None
        )

    assert causes()[-1] == "lucky_seed"
    assert diagnosed(evidence(healthy())).verdict == "lucky_seed"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a:error:b b:warning:", "a:error"),
        ("a:error: b:warning:a", "b:error"),  # the cause is told after its symptom, and is as severe
        ("a:warning:b b:warning:a", "a:warning"),
        ("a:error:b b:warning:c c:note:", "a:error"),  # a symptom of a symptom
        ("a:warning:c b:warning:a c:warning:b", "a:warning"),  # a circle
        ("a:warning: b:note:a", "a:warning b:note"),  # a note explains no warning
        ("a:error: b:warning:", "a:error b:warning"),
    ],
)
def test_symptoms_are_dropped_wherever_their_cause_is_told(given, kept):
    present = []
    for text in given.split():
        cause, severity, explains = text.split(":")
        present.append(Finding(cause, severity, cause, ("a fact",), explains=tuple(explains)))
    assert " ".join(f"{one.cause}:{one.severity}" for one in without_symptoms(present)) == kept


def test_a_cause_has_one_function():
    causes()
    with pytest.raises(RegistrationError, match="give the cause another name"):
        finds("overfitting", order=0)(lambda evidence: None)


def test_chance_is_the_largest_class_unless_classes_are_sampled():
    assert evidence(healthy(), training_images=(90, 10)).chance == 0.9
    balanced = recipe(**{"data.balance": "sampling"})
    assert evidence(healthy(), training_images=(90, 10), recipe=balanced).chance == 0.5
    assert evidence(healthy(), classes=4).chance == 0.25
    assert evidence(healthy(), training_images=(50, 50)).chance_loss == pytest.approx(np.log(2))


def test_evidence_survives_its_record():
    found = evidence(healthy(), training_images=(5,) * 10, image_size=(8, 8))
    again = Evidence.of_record(found.record())
    assert again.record() == found.record()
    assert str(diagnosed(again)) == str(diagnosed(found))

"""`Diagnosis`: the findings on a training as a verdict, a sentence and a paragraph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cnnrecipes.diagnosis.evidence import Evidence
from cnnrecipes.diagnosis.finding import Finding, Remedy, find_all
from cnnrecipes.diagnosis.measures import percent, relative_improvement, training_accuracy, validation_accuracy

HEALTHY = "healthy"
_REMEDIES = 4  # in the paragraph


@dataclass(frozen=True)
class Diagnosis:
    """The result of a diagnosis. As text: one paragraph.

    Attributes:
        findings: the most severe first; the first one is never a note unless all are.
        state: what is known of the run as a whole, for example its accuracies.
        cannot_tell: what the evidence does not show, and why.
        running: True if the training continues.
    """

    findings: tuple[Finding, ...]
    state: str
    cannot_tell: tuple[str, ...] = ()
    running: bool = False

    @property
    def verdict(self) -> str:
        """The cause of the first finding that is more than a note; "healthy" without one."""
        return next((one.cause for one in self.findings if one.severity != "note"), HEALTHY)

    @property
    def ok(self) -> bool:
        """False if a finding is an error: the model is of no use as it is."""
        return not any(one.severity == "error" for one in self.findings)

    @property
    def sentence(self) -> str:
        """The verdict, its first fact and the first remedy, in one line."""
        worst = [one for one in self.findings if one.severity != "note"]
        if not worst:
            return f"diagnosis: {HEALTHY}; {self.state}"
        first = worst[0]
        tries = f"; try {first.remedies[0].change}" if first.remedies else ""
        return f"diagnosis: {first.title}: {first.evidence[0]}{tries}"

    def record(self) -> dict[str, Any]:
        """Return the diagnosis as JSON types."""
        findings = [asdict(one) for one in self.findings]
        return {
            "verdict": self.verdict,
            "ok": self.ok,
            "sentence": self.sentence,
            "state": self.state,
            "findings": findings,
            "cannot_tell": list(self.cannot_tell),
        }

    @property
    def without_remedies(self) -> str:
        """The paragraph of `str()` without what to try next."""
        return self._paragraph([])

    def __str__(self) -> str:
        remedies = [remedy for one in self.findings if one.severity != "note" for remedy in one.remedies]
        return self._paragraph(_distinct(remedies)[:_REMEDIES])

    def _paragraph(self, remedies: Sequence[Remedy]) -> str:
        worst = [one for one in self.findings if one.severity != "note"]
        notes = [one for one in self.findings if one.severity == "note"]
        parts = [_sentence(one) for one in worst] or [f"The training is {HEALTHY}: {self.state}."]
        if remedies:
            tries = "; ".join(f"({number}) {remedy}" for number, remedy in enumerate(remedies, 1))
            parts.append(f"Try next, in this order: {tries}.")
        parts += [_sentence(one) for one in notes]
        if self.cannot_tell:
            parts.append(f"It cannot tell {'; and not '.join(self.cannot_tell)}.")
        return " ".join(parts)


def diagnosed(evidence: Evidence, without_predictions: str | None = None) -> Diagnosis:
    """Return the diagnosis of evidence.

    Args:
        evidence: of the training.
        without_predictions: the reason for which the model's predictions are missing; None: it is not told.
    """
    findings = find_all(evidence)
    missing = _cannot_tell(evidence)
    if without_predictions:
        what = "whether classes are never predicted, batch norm statistics are stale, or how training images are "
        missing.append(
            f"{what}predicted without augmentation: the model was not evaluated, since {without_predictions}"
        )
    return Diagnosis(tuple(findings), _state(evidence), tuple(missing), evidence.running)


def _sentence(finding: Finding) -> str:
    text = f"{finding.title}: {'; '.join(finding.evidence)}."
    return text[0].upper() + text[1:]


def _distinct(remedies: list[Remedy]) -> list[Remedy]:
    """Return the remedies without later ones that change the same key."""
    found: dict[str, Remedy] = {}
    for remedy in remedies:
        found.setdefault(remedy.change.partition("=")[0], remedy)
    return list(found.values())


def _state(evidence: Evidence) -> str:
    """Return accuracies and the trend at the end, for a training without anything wrong."""
    train, validation = training_accuracy(evidence), validation_accuracy(evidence)
    known = [str(one) for one in (train, validation) if one is not None and not math.isnan(one.value)]
    parts = [f"accuracy {', '.join(known)}"] if known else []
    improves = relative_improvement(evidence.history.loss)
    if len(evidence.history) > 2:
        parts.append(f"the training loss fell by {percent(max(improves, 0.0))} in the last third of the epochs")
    return "; ".join(parts) or "nothing was measured"


def _cannot_tell(evidence: Evidence) -> list[str]:
    """Return what the history is too short for."""
    history, found = evidence.history, []
    if not evidence.recipe.transfer.trains_by_steps:
        found.append(
            "anything about learning rates or epochs: it is a logistic regression on frozen features, without steps"
        )
    elif len(history) == 1:
        found.append("trends from one epoch: whether the rate fits, and whether it will overfit")
    elif len(history) == 0 and evidence.failure is not None:
        found.append("more from a training that ended before its first epoch did")
    if evidence.running and evidence.recipe.transfer.trains_by_steps:
        done = f"{len(history)} of {evidence.recipe.train.epochs} epochs are done"
        found.append(f"how it ends: {done}; `cnnrecipes resume` continues")
    if len(history) and not history.validated:
        found.append("whether it overfits: there is no validation split")
    return found

"""Findings: a cause with its evidence and remedies; and the registry of the functions that find one.

A new finding is one function in a module of `findings/`:

    @finds("dead_layers", order=35)
    def dead_layers(evidence: Evidence) -> Finding | None:
        ...
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from cnnrecipes.diagnosis.evidence import Evidence
from cnnrecipes.errors import RegistrationError

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Remedy:
    """Something to try.

    Attributes:
        change: what to type: an override of the recipe, for example "optimizer.learning_rate=0.01", or a command.
        why: what it does, and the value before.
    """

    change: str
    why: str

    def __str__(self) -> str:
        return f"{self.change} ({self.why})"


@dataclass(frozen=True)
class Finding:
    """One cause that was found.

    Attributes:
        cause: its name, for example "overfitting".
        severity: "error": the model is of no use; "warning": the training can be better; "note": worth knowing.
        title: the finding in a few words, without a period, for example "overfitting since epoch 9".
        evidence: the measured facts that led to it.
        remedies: what to try, the most promising first.
        explains: causes of other findings that are its symptoms; they are not reported beside it.
    """

    cause: str
    severity: Severity
    title: str
    evidence: tuple[str, ...]
    remedies: tuple[Remedy, ...] = ()
    explains: tuple[str, ...] = ()


Function = Callable[[Evidence], "Finding | None"]


@dataclass(frozen=True)
class _Row:
    cause: str
    order: int
    live: bool
    function: Function


_ROWS: dict[str, _Row] = {}


def finds(cause: str, *, order: int, live: bool = False) -> Callable[[Function], Function]:
    """Register a function that looks for one cause in the evidence.

    Args:
        cause: the name of its findings.
        order: among findings of the same severity, lower ones are told first.
        live: also look for it while the training continues.

    Raises:
        RegistrationError: another function finds this cause.
    """

    def register(function: Function) -> Function:
        if cause in _ROWS and _ROWS[cause].function.__qualname__ != function.__qualname__:
            raise RegistrationError(f"the cause {cause!r} is registered already; give the cause another name")
        _ROWS[cause] = _Row(cause, order, live, function)
        return function

    return register


def causes() -> tuple[str, ...]:
    """Return the names of all causes that can be found, in the order in which they are told."""
    _import_findings()
    return tuple(row.cause for row in sorted(_ROWS.values(), key=lambda row: row.order))


def find_all(evidence: Evidence) -> list[Finding]:
    """Return the findings in evidence, the most severe first, without symptoms of others."""
    _import_findings()
    rows = sorted(_ROWS.values(), key=lambda row: row.order)
    found = [row.function(evidence) for row in rows if row.live or not evidence.running]
    return without_symptoms(sorted((one for one in found if one), key=lambda one: SEVERITIES.index(one.severity)))


def without_symptoms(present: Sequence[Finding]) -> list[Finding]:
    """Return the findings that no other one explains, also through a third; of those in a circle the first in order.

    A note explains notes only. A cause becomes as severe as the symptoms that it explains.
    """
    explained = {one.cause: _explained_by(one, present) for one in present}
    kept = []
    for place, finding in enumerate(present):
        later = {one.cause for one in present[place + 1 :]}
        causes = {one.cause for one in present if finding.cause in explained[one.cause]} - {finding.cause}
        if causes <= explained[finding.cause] & later:
            symptoms = [one.severity for one in present if one.cause in explained[finding.cause]]
            kept.append(replace(finding, severity=min([finding.severity, *symptoms], key=SEVERITIES.index)))
    return sorted(kept, key=lambda one: SEVERITIES.index(one.severity))


def _explained_by(finding: Finding, present: Sequence[Finding]) -> set[str]:
    """Return the causes of the findings that are symptoms of one, or symptoms of its symptoms."""
    found: set[str] = set()
    new = [finding]
    while new:
        one = new.pop()
        symptoms = [
            other
            for other in present
            if other.cause in one.explains
            and other.cause not in found
            and (one.severity != "note" or other.severity == "note")
        ]
        found |= {other.cause for other in symptoms}
        new += symptoms
    return found


@cache
def _import_findings() -> None:
    from cnnrecipes.diagnosis import findings

    for module in pkgutil.iter_modules(findings.__path__):
        importlib.import_module(f"{findings.__name__}.{module.name}")

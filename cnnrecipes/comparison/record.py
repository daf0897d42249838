"""comparison.json: the last evaluation of a comparison's trainings, and the earlier ones with other questions."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnrecipes._support.atomic_files import write_text
from cnnrecipes.errors import RunError, one_line

RECORD = "comparison.json"
_EARLIER = "earlier"
_SHARED = ("data", "code", _EARLIER)  # the same in all evaluations of a folder, or not nested


@dataclass(frozen=True)
class Question:
    """Settings of an evaluation; another evaluation with equal settings replaces its record.

    Attributes:
        labels: of the variants.
        baseline: label of the variant that the others are compared to.
        split: the split that is measured.
        sequential: seeds were added until the answer was clear.
        margin: difference of the accuracy below which variants count as alike.
        seeds: those of the baseline.
    """

    labels: frozenset[str]
    baseline: str
    split: str
    sequential: bool
    margin: float
    seeds: frozenset[int]

    @classmethod
    def of(cls, evaluation: Mapping[str, Any]) -> Question:
        """Return the question of a record."""
        baseline = evaluation["baseline"]
        return cls(
            frozenset(row["variant"] for row in evaluation["table"]),
            baseline,
            evaluation["split"],
            evaluation["sequential"],
            max(one["margin"] for one in evaluation["contrasts"]),
            frozenset(run["seed"] for run in evaluation["runs"] if run["variant"] == baseline),
        )


def read_evaluations(folder: Path) -> list[dict[str, Any]]:
    """Return the recorded evaluations of a comparison's folder, the last one first; [] if there is none.

    Raises:
        RunError: comparison.json is damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        return []
    try:
        last = json.loads(path.read_text(encoding="utf-8"))
        found = [last, *last.pop(_EARLIER, [])]
        for one in found:
            Question.of(one)
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"cannot read {str(path)!r} ({one_line(error)}); move it away") from None


def write_evaluation(folder: Path, evaluation: Mapping[str, Any]) -> Path:
    """Write an evaluation to comparison.json, and return its path. The evaluations before it move to "earlier".

    One with the same `Question` (variants, baseline, split, seeds, margin) is replaced instead.

    Raises:
        RunError: comparison.json is damaged.
        WriteError: it cannot be written.
    """
    asked = Question.of(evaluation)
    others = [
        {key: value for key, value in one.items() if key not in _SHARED}
        for one in read_evaluations(folder)
        if Question.of(one) != asked
    ]
    write_text(folder / RECORD, json.dumps({**evaluation, _EARLIER: others}, indent=2))
    return folder / RECORD


def caution(asked: Question, evaluations: Sequence[Mapping[str, Any]]) -> str:
    """Return a sentence if the number of seeds of a t test may depend on results that were seen before; else "".

    Args:
        asked: what is evaluated now.
        evaluations: the recorded ones; see `read_evaluations`.
    """
    if asked.sequential or len(asked.seeds) < 2:
        return ""  # these p-values hold at every number of seeds, or are those of McNemar's test
    for one in evaluations:
        if Question.of(one) == asked:
            return str(one.get("caution", ""))  # as when it was first asked
    seen = [one for one in map(Question.of, evaluations) if len(one.labels & asked.labels) > 1]
    remedy = "until_clear (--until-clear) has p-values that hold at every number of seeds"
    if any(one.sequential for one in seen):
        return (
            "The number of seeds of this comparison was chosen by its results before (until_clear), and p-values of "
            f"the t test hold only for a number that does not depend on them; {remedy}."
        )
    if fewer := _numbers(seen, below=len(asked.seeds)):
        return (
            f"This comparison was evaluated with {max(fewer)} seeds before, and now with {len(asked.seeds)}: p-values "
            f"of the t test hold only for a number of seeds that does not depend on the results; {remedy}."
        )
    return ""


def _numbers(seen: Collection[Question], below: int) -> list[int]:
    return [len(one.seeds) for one in seen if 1 < len(one.seeds) < below]

"""`Snapshot`: all that the display of a search shows, read once from its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnrecipes.recipe.search import Search as SearchTable
from cnnrecipes.recipe.space import Entry
from cnnrecipes.tuning.display.axes import Axis, NumberAxis, key_axis, score_axis, shown_score, shown_value
from cnnrecipes.tuning.records import COMPLETED, PRUNED, RETRAINED, STATUSES, Trial

if TYPE_CHECKING:
    from cnnrecipes.tuning.search import Search


@dataclass(frozen=True)
class Snapshot:
    """The state of a search at one time.

    Attributes:
        folder: of the search.
        name: of its recipe.
        recipe: its TOML text, with the `search` table.
        settings: its `search` table.
        entries: of the space.
        trials: the records, in the order of their numbers.
        result: of search.json; None before the end.
        retrained: number of trainings after the search that are over.
    """

    folder: Path
    name: str
    recipe: str
    settings: SearchTable
    entries: tuple[Entry, ...]
    trials: tuple[Trial, ...]
    result: Mapping[str, Any] | None
    retrained: int

    @classmethod
    def of(cls, search: Search) -> Snapshot:
        """Read a search. Raises RunError if a file is damaged."""
        recipe = search.recipe
        return cls(
            folder=search.folder,
            name=recipe.name,
            recipe=recipe.to_toml(),
            settings=search.settings,
            entries=search.settings.entries,
            trials=tuple(search.records),
            result=search.result if search.finished else None,
            retrained=sum(1 for _ in (search.folder / RETRAINED).glob("*.json")),
        )

    @property
    def objective(self) -> str:
        """The validation metric that ranks the trials."""
        return self.settings.objective

    @cached_property
    def scored(self) -> tuple[Trial, ...]:
        """The completed and pruned trials, which have a score."""
        return tuple(
            one
            for one in self.trials
            if one.status in (COMPLETED, PRUNED) and one.score is not None and math.isfinite(one.score)
        )

    @cached_property
    def ranked(self) -> tuple[Trial, ...]:
        """The completed trials, the best first; of equal ones the earlier first."""
        done = [one for one in self.scored if one.status == COMPLETED]
        return tuple(sorted(done, key=lambda one: (-self.sign * (one.score or 0.0), one.trial)))

    @property
    def sign(self) -> int:
        """1 if a higher score is better, else -1."""
        return 1 if self.settings.maximizes else -1

    @property
    def best(self) -> int | None:
        """The number of the winner, or before there is one, of the best trial; None if none is completed."""
        if self.result and self.result.get("winner") is not None:
            return int(self.result["winner"])
        return self.ranked[0].trial if self.ranked else None

    @cached_property
    def axes(self) -> dict[str, Axis]:
        """The plot axis of each key of the search space."""
        return {entry.key: key_axis(entry) for entry in self.entries}

    @cached_property
    def score_axis(self) -> NumberAxis:
        """The plot axis of the trials' scores: its range, linear or logarithmic scale, and labels in percent or not."""
        return score_axis([one.score or 0.0 for one in self.scored], self.objective)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of trials by status, without those that are 0."""
        numbers = {status: sum(one.status == status for one in self.trials) for status in STATUSES}
        return {status: number for status, number in numbers.items() if number}

    @cached_property
    def ends(self) -> dict[int, float]:
        """Seconds of work from the beginning of the search to the end of each trial that is over.

        Times in which no trial was running, after an interruption, do not count; trials of several workers overlap.
        """
        spans = sorted(
            (begin, begin + one.seconds, one.trial)
            for one in self.trials
            if one.over and (begin := _seconds(one.started)) is not None
        )
        found, worked, until = {}, 0.0, -math.inf
        for begin, end, trial in spans:
            if end > until:
                worked += end - max(begin, until)
                until = end
            found[trial] = worked - (until - end)
        return found

    def shown(self, score: float | None) -> str:
        """Return a score as text."""
        return shown_score(score, self.objective)

    def described(self, trial: Trial) -> str:
        """Return a trial in a line: its number, status, score and values."""
        score = f", {self.objective} {self.shown(trial.score)}" if trial.score is not None else ""
        values = "".join(f", {key} {shown_value(value)}" for key, value in trial.values.items())
        return f"trial {trial.trial}, {trial.status}{score}{values}"


def _seconds(started: str) -> float | None:
    try:
        return datetime.fromisoformat(started).timestamp()
    except ValueError:
        return None

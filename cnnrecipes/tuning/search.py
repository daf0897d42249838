"""`Search`, the object that reads the folder of a search."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cnnrecipes._support.atomic_files import write_text
from cnnrecipes._support.console import printable
from cnnrecipes.errors import RunError, counted, one_line
from cnnrecipes.recipe import search as tables
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.recipe.toml import read_toml
from cnnrecipes.recipe.values import plain
from cnnrecipes.runs.run import Run
from cnnrecipes.tuning.display.importance import Importances
from cnnrecipes.tuning.display.page_writer import html_of, view_importances, write_page
from cnnrecipes.tuning.display.plots import plot_search
from cnnrecipes.tuning.display.snapshot import Snapshot
from cnnrecipes.tuning.display.table_file import write_trials
from cnnrecipes.tuning.records import COMPLETED, STATUSES, Trial, read_trials, table

FILE = "search.json"


def sizes_of(settings: tables.Search) -> dict[str, int]:
    """Return the settings of a search that may change in its folder."""
    return {"trials": settings.limit, "best": settings.best, "seeds": settings.seeds}


class Search:
    """The folder of a search: `trials`, `best`, `best_recipe`, `result`.

    The folder holds search.json, recipe.toml, oracle.json, the trials' records and run folders in trials/, and those of
    the trainings after the search in retrained/. Files are read when an attribute is.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    @classmethod
    def open(cls, folder: str | Path | Search) -> Search:
        """Open the folder of a search; a `Search` is returned unchanged. Raises RunError if it is none."""
        if isinstance(folder, Search):
            return folder
        if not isinstance(folder, (str, Path)) or not (Path(folder) / FILE).is_file():
            raise RunError(
                f"{str(folder)!r} is not the folder of a search; give one that `cnnrecipes tune` has created"
            )
        return cls(folder)

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe of the search, with its `search` table."""
        path = self.folder / "recipe.toml"
        return Recipe.recorded(read_toml(path), str(path))

    @property
    def settings(self) -> tables.Search:
        """The `search` table: method, objective, space and so on."""
        assert self.recipe.search is not None
        return self.recipe.search

    @property
    def keys(self) -> list[str]:
        """The recipe keys of the space."""
        return [entry.key for entry in self.settings.entries]

    @property
    def records(self) -> list[Trial]:
        """The records of all trials, in the order of their numbers."""
        return read_trials(self.folder)

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial, in the order of their numbers.

        | column        | content                                                                               |
        |---------------|---------------------------------------------------------------------------------------|
        | trial         | its number, from 1                                                                    |
        | status        | completed, pruned, failed or running                                                  |
        | reason        | why it was pruned or failed; ""                                                       |
        | seed          | its train.seed                                                                        |
        | score         | the objective: of the saved epoch, of a pruned trial of its best epoch; NaN if failed |
        | best_epoch    | this epoch, from 1                                                                    |
        | epochs        | number of trained epochs                                                              |
        | seconds       | of the whole trial                                                                    |
        | started       | local time, ISO 8601                                                                  |
        | run           | its run folder, relative to `folder`                                                  |
        | each key      | the value of a key of the space; None if its condition does not hold                  |
        """
        return table(self.records, self.keys)

    @property
    def importances(self) -> Importances:
        """The importances of the keys for the score with their uncertainty, and what can be told in a sentence."""
        return view_importances(Snapshot.of(self))

    def write_table(self, path: str | Path | None = None) -> Path:
        """Write `trials` as a file and return its path.

        Args:
            path: ends in .parquet or .csv; None: trials.parquet in `folder`.

        Raises:
            RunError: another suffix.
            WriteError: the file cannot be written.
        """
        return write_trials(self.trials, self.folder, path)

    def page(self) -> Path:
        """Write search.html, the page of the search, and return its path. Raises WriteError."""
        return write_page(self)

    def plot(self, what: str = "slices", path: str | Path | None = None) -> Figure:
        """Plot the search.

        Args:
            what: "progress" (scores and the best so far, over time), "parallel" (coordinates), "importances" or
                "slices" (the score over each key).
            path: file to write the figure to (.png, .svg or .pdf); None: not written.

        Raises:
            RunError: another plot, or no trial to plot.
            ModelError: an unsupported suffix.
            WriteError: the path cannot be written.
        """
        return plot_search(Snapshot.of(self), what, path)

    def run(self, trial: int) -> Run:
        """Return the run of a trial. Raises RunError if it has none."""
        found = next((one for one in self.records if one.trial == trial), None)
        if found is None:
            raise RunError(f"the search {str(self.folder)!r} has no trial {trial}; `Search.trials` lists its trials")
        return Run.open(self.folder / found.run)

    def ranked(self) -> list[Trial]:
        """Return the completed trials, the best first; of equal ones the earlier first."""
        sign = -1 if self.settings.maximizes else 1
        done = [one for one in self.records if one.status == COMPLETED and one.score is not None]
        return sorted(done, key=lambda one: (sign * (one.score or 0.0), one.trial))

    @property
    def result(self) -> dict[str, Any] | None:
        """The result from search.json: winner, scores, test metrics and sentences; None before the end."""
        return self.document.get("result")

    @property
    def finished(self) -> bool:
        """True if the search and the trainings after it are over; of a search that is enlarged False until it ends."""
        return self.covers(self.settings)

    def covers(self, settings: tables.Search) -> bool:
        """Return True if the result is that of a search of this size or a larger one."""
        if (result := self.result) is None:
            return False
        return all(size <= result["settings"][name] for name, size in sizes_of(settings).items())

    @property
    def best(self) -> Run:
        """The winner's run: its first training after the search, or the best trial before there is one.

        Raises:
            RunError: no trial is completed.
        """
        if self.finished and (result := self.result) and result.get("best_run"):
            return Run.open(self.folder / result["best_run"])
        ranked = self.ranked()
        if not ranked:
            raise RunError(
                f"no trial of the search {str(self.folder)!r} is completed; the reasons are in `Search.trials`"
            )
        return Run.open(self.folder / ranked[0].run)

    @property
    def best_recipe(self) -> Recipe:
        """The recipe of `best`, for `fit`."""
        return self.best.recipe

    @property
    def document(self) -> dict[str, Any]:
        """The content of search.json. Raises RunError if it is damaged."""
        path = self.folder / FILE
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(found, dict):
                raise ValueError("it is no object")
            return found
        except (OSError, ValueError) as error:
            raise RunError(f"cannot read {str(path)!r} ({one_line(error)}); restore it, or search again") from None

    def write(self, document: Mapping[str, Any]) -> None:
        """Write search.json atomically. Raises WriteError."""
        write_text(self.folder / FILE, json.dumps(plain(dict(document)), indent=2))

    def counts(self) -> str:
        """Return how many trials there are, by status: "20 trials: 12 completed, 7 pruned, 1 failed"."""
        records = self.records
        numbers = {status: sum(one.status == status for one in records) for status in STATUSES}
        parts = [f"{number} {status}" for status, number in numbers.items() if number]
        return f"{counted(len(records), 'trial')}: {', '.join(parts)}" if parts else "0 trials"

    def _repr_html_(self) -> str:
        """Return the page of the search in a frame of a notebook."""
        frame = "width:100%;height:40rem;border:1px solid #8886"
        document = html.escape(html_of(self))
        return f"<iframe title='Search' sandbox='allow-scripts' style='{frame}' srcdoc=\"{document}\"></iframe>"

    def __repr__(self) -> str:
        rows = {"folder": printable(str(self.folder)), "trials": self.counts()}
        if ranked := self.ranked():
            best = ranked[0]
            values = ", ".join(f"{key}={value}" for key, value in best.values.items())
            rows["best"] = f"trial {best.trial}, {self.settings.objective} {best.score:.4g}: {printable(values)}"
        if self.finished and self.result:
            rows["result"] = " ".join(self.result["sentences"])
        else:
            rows["next"] = f"cnnrecipes tune --resume {printable(str(self.folder))}"
        return "\n".join(
            [f"Search of {printable(self.recipe.name)}", *(f"  {name:<8}{row}" for name, row in rows.items())]
        )

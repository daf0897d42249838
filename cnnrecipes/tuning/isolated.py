"""One trial in a process of its own: `python -m cnnrecipes.tuning.isolated FOLDER NUMBER`."""

from __future__ import annotations

import sys
from pathlib import Path


def main(folder: str, number: str) -> None:
    """Run the trial whose record is in the folder of a search."""
    from cnnrecipes._support.console import import_tensorflow

    import_tensorflow()
    from cnnrecipes.errors import RunError
    from cnnrecipes.tuning.open_data import OpenData
    from cnnrecipes.tuning.records import read_trial
    from cnnrecipes.tuning.search import Search
    from cnnrecipes.tuning.trial_run import TrialRunner

    search = Search.open(Path(folder))
    trial = read_trial(search.folder, int(number))
    if trial is None:
        raise RunError(f"the search {folder!r} has no record of trial {number}; `cnnrecipes tune --resume` writes it")
    with OpenData() as data:
        TrialRunner(search.recipe, search.folder, data).run(trial.trial, trial.values)


if __name__ == "__main__":
    main(*sys.argv[1:3])

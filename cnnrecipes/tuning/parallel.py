"""Searches of several processes: a chief that has the oracle, and workers that run trials at the same time.

The workers write their trials into the folder of the search, which all share; the chief hands out the values. A worker
that dies is replaced by one of its name, which resumes its trial.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cnnrecipes.tuning.chief import Chief, Client
from cnnrecipes.tuning.child_process import terminated_as_interrupted
from cnnrecipes.tuning.isolated import retraining_of
from cnnrecipes.tuning.kept_oracle import KeptOracle
from cnnrecipes.tuning.loop import run_trials
from cnnrecipes.tuning.open_data import OpenData
from cnnrecipes.tuning.oracles import number_of
from cnnrecipes.tuning.retraining import retrain
from cnnrecipes.tuning.roles import ID, IP, PORT, Role, chief_timeout
from cnnrecipes.tuning.search import Search
from cnnrecipes.tuning.team import Team
from cnnrecipes.tuning.trial_run import TrialRunner

_POLL = 0.2  # seconds
_REMIND = 60.0  # seconds between two messages that a trial is waited for
_SEARCHED = "searched"  # key of search.json: number of trials after which the workers train the best ones again


def serve(
    search: Search,
    oracle: KeptOracle,
    address: str,
    data: OpenData,
    say: Callable[[str], None],
    *,
    isolate: bool = False,
) -> None:
    """Serve the oracle until all trials are over, and take part in the trainings after the search.

    Raises:
        TrainingError: the port is taken.
    """
    with Chief(oracle, address) as chief:
        say(f"the chief waits for workers at {address}")
        attend(search, chief, data, say, isolate=isolate)


def attend(search: Search, chief: Chief, data: OpenData, say: Callable[[str], None], *, isolate: bool = False) -> None:
    """Wait until all trials are over, and take part in the trainings after the search until these are."""
    isolated = retraining_of(search) if isolate else None
    reminded = time.monotonic()
    while not chief.searched:
        time.sleep(_POLL)
        if time.monotonic() - reminded > _REMIND and chief.running:
            reminded = time.monotonic()
            what = ", ".join(f"trial {number_of(one)} of {worker}" for one, worker in chief.running.items())
            say(f"running: {what}; a worker that has died is replaced by one with its {ID}")
    _mark_searched(search)
    retrain(search, data, say, all_of_them=True, isolated=isolated)


def work(search: Search, role: Role, data: OpenData, say: Callable[[str], None], *, isolate: bool = False) -> None:
    """Run trials that the chief hands out, then take part in the trainings after the search.

    Raises:
        TrainingError: the chief cannot be reached.
        Interrupted: Ctrl-C or SIGTERM.
    """
    seconds = chief_timeout()
    client = Client(role, seconds)
    runner = TrialRunner(search.recipe, search.folder, data)
    run_trials(search, client, runner, say, worker=role.name, isolate=isolate)
    checked = time.monotonic()
    while not is_searched(search):
        time.sleep(_POLL)
        if time.monotonic() - checked > seconds / 4 and not is_searched(search):
            # Also tells a chief that was started again that no trial is left.
            run_trials(search, client, runner, say, worker=role.name, isolate=isolate)
            checked = time.monotonic()
    retrain(search, data, say, isolated=retraining_of(search) if isolate else None)


def is_searched(search: Search) -> bool:
    """Return True if all trials are over, as many as the folder's recipe.toml has now."""
    return search.document.get(_SEARCHED) == Search(search.folder).settings.limit


def launch(search: Search, oracle: KeptOracle, workers: int, say: Callable[[str], None], *, isolate: bool) -> None:
    """Run a search in several processes on this machine, with a GPU each if there are any.

    Raises:
        TrainingError: a worker ended with an error.
        Interrupted: Ctrl-C or SIGTERM; all workers have written a checkpoint.
    """
    with Chief(oracle, "localhost:0") as chief, terminated_as_interrupted():
        address = {IP: "localhost", PORT: str(chief.port)}
        team = Team(search, chief, address, workers, say, isolate=isolate)
        try:
            team.start()
            while team.running:
                time.sleep(_POLL)
                team.replace_dead()
                if chief.searched and not is_searched(search):
                    _mark_searched(search)
        except BaseException:
            team.stop()
            raise
        finally:
            team.close()


def _mark_searched(search: Search) -> None:
    search.write({**search.document, _SEARCHED: search.settings.limit})

"""`tune` and `resume_search`: search over keys of a recipe; each trial is a run."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import tensorflow as tf
from filelock import FileLock, Timeout

from cnnrecipes._support import console
from cnnrecipes._support.atomic_files import write_text
from cnnrecipes.data.sources.opening import recorded_name, unrecordable
from cnnrecipes.errors import DataError, Interrupted, RecipeError, RunError, TrainingError, counted
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.recipe.search import Hyperband
from cnnrecipes.recipe.search import Search as SearchTable
from cnnrecipes.recipe.space import flat_space
from cnnrecipes.recipe.tables import fixed_part
from cnnrecipes.runs.run import check_place
from cnnrecipes.training import preflight
from cnnrecipes.tuning.display.live import live_table
from cnnrecipes.tuning.display.page import PAGE
from cnnrecipes.tuning.display.page_writer import PageWriter
from cnnrecipes.tuning.ending import conclude, is_concluded, retrain
from cnnrecipes.tuning.loop import run_trials
from cnnrecipes.tuning.open_data import OpenData
from cnnrecipes.tuning.oracles import open_oracle
from cnnrecipes.tuning.parallel import has_gpus, launch, serve, work
from cnnrecipes.tuning.records import TRIALS
from cnnrecipes.tuning.roles import Role, chief_timeout, find_role, leave_cluster
from cnnrecipes.tuning.search import FILE, Search
from cnnrecipes.tuning.trial_recipe import check_space, default_space, default_trials, trial_start, without_search
from cnnrecipes.tuning.trial_run import TrialRunner

_SIZES = ("trials", "best", "seeds")  # keys of the table that may grow without another search


def tune(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    data: Any = None,
    *,
    space: Mapping[str, Any] | None = None,
    trials: int | None = None,
    method: str | None = None,
    objective: str | None = None,
    pruning: str | None = None,
    best: int | None = None,
    seeds: int | None = None,
    seed: int | None = None,
    workdir: str | Path = "runs",
    name: str | None = None,
    workers: int = 1,
    isolate: bool = False,
    progress: bool = True,
    **changes: Any,
) -> Search:
    """Search over keys of a recipe: run trials, train the best ones again, and read the test split for the winner.

    The same call resumes an interrupted search in its folder; a search that is over is returned as it is. With more
    `trials`, it goes on.

    Args:
        recipe: as in `fit`; its `search` table has the space and the settings.
        data: as in `fit`.
        space: entries that are added to those of the table, recipe key -> range, list or condition.
        trials, method, objective, pruning, best, seeds, seed: keys of the `search` table to override.
        workdir: parent folder of the folder of the search.
        name: its name; None: "search_" and the name of the recipe.
        workers: processes on this machine that run trials at the same time.
        isolate: run each trial in a process of its own, slower, but safe from crashes.
        progress: print a line per trial, and the result.
        changes: recipe keys to override in all trials, for example `**{"train.epochs": 5}`.

    Returns:
        the search, with `trials`, `best`, `best_recipe` and `result`.

    Raises:
        RecipeError: the recipe or the space is invalid.
        RunError: the folder has another search, or another process is at work there.
        DataError: the data cannot be opened.
        Interrupted: Ctrl-C or SIGTERM; the same call continues.
    """
    say = console.say if progress else console.silent
    options = {
        "trials": trials,
        "method": method,
        "objective": objective,
        "pruning": pruning,
        "best": best,
        "seeds": seeds,
        "seed": seed,
    }
    base = search_recipe(catalog.load(recipe).change(**changes), data, space, options, say)
    folder = search_folder(base, workdir, name)
    return run_search(base, folder, data, workers=workers, isolate=isolate, say=say)


def resume_search(
    folder: str | Path | Search,
    data: Any = None,
    *,
    trials: int | None = None,
    workers: int = 1,
    isolate: bool = False,
    progress: bool = True,
) -> Search:
    """Resume an interrupted search in its folder, inside the trial that was interrupted.

    Args:
        folder: of the search.
        data: the same data as was passed to `tune`; None if they were a path, or those of the recipe.
        trials: a larger number of trials; None: as before.
        workers, isolate, progress: as in `tune`.

    Raises:
        RunError: the folder is not that of a search.
        CNNRecipesError: as for `tune`.
    """
    search = Search.open(folder)
    base = search.recipe if trials is None else search.recipe.change(**{"search.trials": trials})
    say = console.say if progress else console.silent
    return run_search(base, search.folder, data, workers=workers, isolate=isolate, say=say)


def search_recipe(
    recipe: Recipe,
    data: Any,
    space: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    say: Callable[[str], None],
) -> Recipe:
    """Return the recipe with a complete and checked `search` table, and with the name of the data.

    Raises:
        RecipeError: the space or an option is invalid.
        DataError: data of an unsupported type.
    """
    table = recipe.search or SearchTable()
    entries = {**table.space, **flat_space(space or {})}
    if not entries:
        entries = default_space(recipe)
        shown = ", ".join(f"{key} = {json.dumps(value)}" for key, value in entries.items())
        say(f"the recipe has no [search.space]; searched are {shown}")
    given = {key: value for key, value in options.items() if value is not None}
    changes: dict[str, Any] = {"search": {**table.model_dump(mode="json"), **given, "space": entries}}
    if data is not None:
        if problems := unrecordable(data):
            raise DataError.of(problems)
        changes["data.name"] = recorded_name(data)
    base = recipe.change(**changes)
    assert base.search is not None
    if base.search.trials is None:
        trials = default_trials(base)
        if isinstance(base.search.proposals, Hyperband):
            say(f"hyperband runs {counted(trials, 'trial')}, most of them of a few epochs")
        base = base.change(**{"search.trials": trials})
    check_space(base, data)
    return base


def search_folder(base: Recipe, workdir: str | Path, name: str | None) -> Path:
    """Return the folder of a search. Raises RunError for a place that cannot be one."""
    check_place(workdir)
    folder = Path(workdir) / (name or f"search_{base.name}")
    if not (folder / FILE).is_file():
        check_place(workdir, folder.name)
    return folder


def run_search(
    base: Recipe,
    folder: Path,
    data: Any = None,
    *,
    workers: int = 1,
    isolate: bool = False,
    say: Callable[[str], None] = print,
) -> Search:
    """Run the search of a recipe with its `search` table in a folder, or resume it there; return it when it is over."""
    if workers < 1:
        raise TrainingError(f"{workers} workers cannot search; give at least 1")
    if (isolate or workers > 1) and data is not None and not isinstance(data, (str, Path)):
        raise RecipeError(
            f"workers and isolate run trials in other processes, which cannot have data of type {type(data).__name__}; "
            "give the path of the data, or leave both out"
        )
    preflight.check(base)
    role = find_role()
    if role is not None:
        leave_cluster()
        if not role.is_chief:
            return _work(base, folder, data, role, isolate, say)
    launches = role is None and workers > 1
    if launches and has_gpus():
        _leave_gpus_to_workers()
    if isolate:
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # or this process would take a GPU's memory
    with OpenData(data) as opened:
        search = open_search(base, folder, opened, say)
        with held(search), naming_resume(search), live_table(search, show=say is console.say):
            if not is_concluded(search):
                say(f"{search.folder / PAGE} shows the search, and is written again after each trial")
                oracle = open_oracle(search.recipe, search.folder)
                if role is not None:
                    serve(search, oracle, role.address, opened, say)
                elif launches:
                    launch(search, oracle, workers, say, isolate=isolate)
                else:
                    runner = TrialRunner(search.recipe, search.folder, opened)
                    run_trials(search, oracle, runner, say, isolate=isolate)
                if oracle.exhausted:
                    say(f"all {len(search.records)} combinations of the space were tried; the search ends")
                retrain(search, opened, say)
                conclude(search, opened)
                PageWriter(search, say).finish()
            elif not (search.folder / PAGE).is_file():
                PageWriter(search, say).finish()
        for sentence in (search.result or {}).get("sentences", ()):
            say(sentence)
    return search


def open_search(base: Recipe, folder: Path, opened: OpenData, say: Callable[[str], None]) -> Search:
    """Open the data, and create the folder of a search or check that it has the same one.

    Raises:
        RunError: the folder has another search.
    """
    complete = trial_start(base, opened.data, {}, 0).recipe
    pipeline = opened.pipeline(complete, say)
    if not pipeline.images("validation"):
        raise DataError(
            "a search compares trials on a validation split, and there is none; set data.validation above 0"
        )
    search, identity = Search(folder), _identity(base, pipeline.fingerprint())
    if (folder / FILE).is_file():
        if different := _differences(search.document.get("identity", {}), identity):
            raise RunError(
                f"{str(folder)!r} has another search: {'; '.join(different[:5])}; give another name or workdir for a "
                "new search, or the settings of the old one to continue it"
            )
        if search.recipe != base:
            write_text(folder / "recipe.toml", base.to_toml())
            search.__dict__.pop("recipe", None)
        return search
    try:
        (folder / TRIALS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot write a search folder at {str(folder)!r} ({error.strerror}); give another workdir"
        ) from None
    write_text(folder / "recipe.toml", base.to_toml())
    search.write(
        {"format": 1, "created": datetime.now().astimezone().isoformat(timespec="seconds"), "identity": identity}
    )
    return search


@contextlib.contextmanager
def held(search: Search) -> Iterator[None]:
    """Hold the lock of a search in the `with` block. Raises RunError if another process holds it."""
    lock = FileLock(search.folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"another process is at work on the search {str(search.folder)!r}; wait for it, or stop it first"
        ) from None
    except (NotImplementedError, OSError):
        pass  # a file system without locks
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def naming_resume(search: Search) -> Iterator[None]:
    """Name the command that continues the search if it is interrupted."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        raise Interrupted(
            f"the search was interrupted ({str(error).partition(';')[0] or 'Ctrl-C'}); `cnnrecipes tune --resume "
            f"{search.folder}` continues inside its trial"
        ) from None


def _work(base: Recipe, folder: Path, data: Any, role: Role, isolate: bool, say: Callable[[str], None]) -> Search:
    """Take part in a search as a worker, as soon as the chief has opened it."""
    deadline = time.monotonic() + chief_timeout()
    while not (folder / FILE).is_file():
        if time.monotonic() > deadline:
            raise TrainingError(
                f"the chief has not opened a search in {str(folder)!r} within {chief_timeout():g} s; start it with the "
                "same recipe and workdir, in a folder that all machines share"
            )
        time.sleep(0.2)
    with OpenData(data) as opened:
        search = open_search(base, folder, opened, say)
        with naming_resume(search):
            work(search, role, opened, say, isolate=isolate)
    return search


def _leave_gpus_to_workers() -> None:
    """Hide the GPUs from this process, which would take their memory; it evaluates the winner on the CPU."""
    with contextlib.suppress(RuntimeError):  # they are in use already
        tf.config.set_visible_devices([], "GPU")


def _identity(base: Recipe, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may not change in the folder of a search."""
    assert base.search is not None
    table = {key: value for key, value in base.search.model_dump(mode="json").items() if key not in _SIZES}
    return {"recipe": fixed_part(without_search(base).to_dict()), "search": table, "data": dict(data)}


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return "key was old and is now new" for each difference."""
    old, new = (dict(_flat(each)) for each in (before, after))
    return [
        f"{key} was {json.dumps(old.get(key))} and is {json.dumps(new.get(key))}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _flat(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tables.items():
        if isinstance(value, Mapping) and prefix.count(".") < 2:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value

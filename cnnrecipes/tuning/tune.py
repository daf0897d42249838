"""`tune` and `resume_search`: search over keys of a recipe; each trial is a run."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from cnnrecipes._support import console
from cnnrecipes.data.sources.opening import recorded_name, unrecordable
from cnnrecipes.errors import DataError, RecipeError, TrainingError, counted
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.recipe.search import Hyperband
from cnnrecipes.recipe.search import Search as SearchTable
from cnnrecipes.recipe.space import flat_space
from cnnrecipes.training import preflight
from cnnrecipes.tuning.conclusion import conclude
from cnnrecipes.tuning.display.live import live_table
from cnnrecipes.tuning.display.page import PAGE
from cnnrecipes.tuning.display.page_writer import PageWriter
from cnnrecipes.tuning.isolated import retraining_of
from cnnrecipes.tuning.loop import run_trials
from cnnrecipes.tuning.open_data import OpenData
from cnnrecipes.tuning.oracles import open_oracle
from cnnrecipes.tuning.parallel import launch, serve, work
from cnnrecipes.tuning.retraining import retrain
from cnnrecipes.tuning.roles import NAMES, Role, chief_timeout, find_role, outside_of_cluster
from cnnrecipes.tuning.search import FILE, Search
from cnnrecipes.tuning.search_folder import held, naming_resume, open_search, search_folder
from cnnrecipes.tuning.sentences import sentences
from cnnrecipes.tuning.team import has_gpus
from cnnrecipes.tuning.trial_recipe import check_space, default_space, default_trials, trial_start
from cnnrecipes.tuning.trial_run import TrialRunner


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
        isolate: run each trial, and each training after the search, in a process of its own: slower, but one that is
            killed for its memory has failed, and the search goes on.
        progress: print a line per trial, and the result.
        changes: recipe keys to override in all trials, for example `**{"train.epochs": 5}`.

    Returns:
        the search, with `trials`, `best`, `best_recipe` and `result`.

    Raises:
        RecipeError: the recipe or the space is invalid.
        RunError: the folder has another search, or another process is at work there.
        DataError: the data cannot be opened.
        Interrupted: Ctrl-C or SIGTERM; the same call continues.
        CNNRecipesError: an error in a trial that its values did not cause, for example a full disk; the same call
            continues.
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
    best: int | None = None,
    seeds: int | None = None,
    workers: int = 1,
    isolate: bool = False,
    progress: bool = True,
) -> Search:
    """Resume an interrupted search in its folder, inside the trial that was interrupted.

    Args:
        folder: of the search.
        data: the same data as was passed to `tune`; None if they were a path, or those of the recipe.
        trials, best, seeds: another number of trials, of best ones that are trained again, or of their seeds; None: as
            before.
        workers, isolate, progress: as in `tune`.

    Raises:
        RunError: the folder is not that of a search.
        CNNRecipesError: as for `tune`.
    """
    search = Search.open(folder)
    sizes = {"search.trials": trials, "search.best": best, "search.seeds": seeds}
    base = search.recipe.change(**{key: size for key, size in sizes.items() if size is not None})
    check_space(base, data)
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
    role = find_role()
    if role is not None and workers > 1:
        raise TrainingError(
            f"workers is {workers}, and this process is {role.name} of a search of several processes, by the variables "
            f"of keras-tuner or SLURM; leave workers out and start one process per worker, or unset {', '.join(NAMES)}"
        )
    if (isolate or workers > 1) and data is not None and not isinstance(data, (str, Path)):
        raise RecipeError(
            f"workers and isolate run trials in other processes, which cannot have data of type {type(data).__name__}; "
            "give the path of the data, or leave both out"
        )
    preflight.check(base)
    with outside_of_cluster():
        if role is not None and not role.is_chief:
            return _work(base, folder, data, role, isolate, say)
        if workers > 1 and has_gpus():
            _leave_gpus_to_workers()
        if isolate:
            os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # or this process would take a GPU's memory
        with OpenData(data) as opened:
            search = open_search(base, folder, opened, say)
            with held(search), naming_resume(search, say), live_table(search, show=say is console.say):
                if not search.finished:
                    say(f"{search.folder / PAGE} shows the search, and is written again after each trial")
                    _run_all(search, opened, role, workers, isolate, say)
                    PageWriter(search, say).finish()
                elif not (search.folder / PAGE).is_file():
                    PageWriter(search, say).finish()
    for sentence in (search.result or {}).get("sentences", ()):
        say(sentence)
    return search


def _run_all(
    search: Search, opened: OpenData, role: Role | None, workers: int, isolate: bool, say: Callable[[str], None]
) -> None:
    """Run the trials, as a chief, in workers or in this process, and the trainings after them; write the result."""
    oracle = open_oracle(search.recipe, search.folder, served=role is not None)
    if role is not None:
        serve(search, oracle, role.address, opened, say, isolate=isolate)
    elif workers > 1:
        launch(search, oracle, workers, say, isolate=isolate)
    else:
        run_trials(search, oracle, TrialRunner(search.recipe, search.folder, opened), say, isolate=isolate)
    if oracle.exhausted:
        say(f"all {len(search.records)} combinations of the space were tried; the search ends")
    retrain(search, opened, say, all_of_them=True, isolated=retraining_of(search) if isolate else None)
    result = conclude(search, opened)
    images = opened.pipeline(trial_start(search.recipe, opened.data, {}, 0).recipe).images("validation")
    search.write({**search.document, "result": {**result, "sentences": sentences(search, result, images)}})


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
        search = open_search(base, folder, opened, say, worker=True)
        assert base.search is not None
        if search.covers(base.search):
            say(f"the search {str(folder)!r} is over, and its chief has nothing to hand out")
            return search
        with naming_resume(search, say):
            work(search, role, opened, say, isolate=isolate)
    return search


def _leave_gpus_to_workers() -> None:
    """Hide the GPUs from this process, which would take their memory; it evaluates the winner on the CPU."""
    with contextlib.suppress(RuntimeError):  # they are in use already
        tf.config.set_visible_devices([], "GPU")

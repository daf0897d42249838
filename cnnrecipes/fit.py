"""`fit`, `resume` and `extend`: train a recipe, resume an interrupted run, train a finished run for more epochs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnrecipes._support import console
from cnnrecipes._support.garbage_collection import collect_garbage_afterwards
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs.extension import extended
from cnnrecipes.runs.new_folder import check_place
from cnnrecipes.runs.run import Run
from cnnrecipes.training import run_folder
from cnnrecipes.training.callbacks.live_diagnosis import closing_sentence
from cnnrecipes.training.callbacks.report_page import ReportPage
from cnnrecipes.training.start_or_resume import Start, adjustable_keys, complete_recipe, find_start, resumed_recipe
from cnnrecipes.training.summary_before_training import LABEL, summary
from cnnrecipes.training.trainer import Finish, MoreCallbacks, Trainer
from cnnrecipes.transfer.training_setup import opened_job


def fit(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    data: Any = None,
    *,
    workdir: str | Path = "runs",
    name: str | None = None,
    seed: int | None = None,
    progress: bool = True,
    **changes: Any,
) -> Run:
    """Train a recipe and return the finished run, with its artifact and metrics written.

    Args:
        recipe: name of a shipped recipe, path of a TOML file, nested tables as a dict, or a Recipe.
        data: None for the recipe's data set; a folder with one sub-folder per class; a table of paths and labels
            (CSV, TSV, Parquet, DataFrame); a TFDS name; `(images, labels)`; a `tf.data.Dataset` of (image, label); or
            `{"train": (images, labels), "test": (...), "class_names": [...]}`. Images are (N, H, W, C), uint8 in
            0..255 or float in 0..1; labels are integers, class names or one-hot.
        workdir: parent folder of run folders.
        name: name of the run folder in `workdir`, which must not exist yet; None: date, recipe and a number.
        seed: shorthand for `**{"train.seed": seed}`.
        progress: print a summary and progress bars; False: print nothing.
        changes: recipe keys to override, for example `**{"train.epochs": 5}` or `train={"epochs": 5}`.

    Raises:
        CNNRecipesError: the recipe, the data, the model or the run folder is invalid, or the loss diverges.
        Interrupted: the training received Ctrl-C or SIGTERM; a checkpoint is written, from which `resume` continues.
    """
    check_place(workdir, name)
    base = catalog.load(recipe)
    complete = complete_recipe(base, data, seed, changes)
    start = find_start(complete, adjustable=adjustable_keys(base, complete, changes))
    return train_from(start, data, workdir=workdir, name=name, progress=progress)


def resume(run: str | Path | Run, data: Any = None, *, progress: bool = True, **changes: Any) -> Run:
    """Resume an unfinished run bit-exactly from its latest valid checkpoint, and return it finished.

    Args:
        run: the run, or the path of its folder.
        data: the same data as was passed to `fit`; None if the run was trained on the recipe's data set.
        progress: print a summary and progress bars; False: print nothing.
        changes: keys of the recipe tables that do not affect the trained weights, `devices` and `logging`, for example
            `**{"logging.checkpoint_every": "5 min"}`.

    Raises:
        RunError: the run does not exist or is finished, its checkpoint belongs to another recipe or other data, or a
            change affects what is trained. Other errors as for `fit`.
    """
    run = Run.open(run).require_unfinished()
    start = find_start(resumed_recipe(run, changes), run=run, say=console.say if progress else console.silent)
    return train_from(start, data, workdir=run.folder.parent, progress=progress)


def extend(
    run: str | Path | Run,
    epochs: int,
    *,
    schedule: str,
    learning_rate: float | None = None,
    data: Any = None,
    workdir: str | Path | None = None,
    progress: bool = True,
) -> Run:
    """Train a finished run for more epochs, from its last checkpoint, in a new run, which is returned.

    Args:
        run: the finished run, or the path of its folder.
        epochs: number of additional epochs.
        schedule, learning_rate: "stretch": the recipe's schedule rescaled to the total number of epochs, from the
            current position; "restart": the schedule from its start, over the additional epochs; "constant": constantly
            `learning_rate`; or the name of a registered extension. `analysis.plot_extension` plots them.
        workdir: parent folder of the new run folder; None: the parent folder of the old one.
        data, progress: as for `resume`.

    Raises:
        RunError: the run does not exist or is unfinished, its last checkpoint is missing, or the data differ.
        RecipeError: `epochs`, `schedule` or `learning_rate` is invalid.
    """
    run = Run.open(run)
    workdir = run.folder.parent if workdir is None else workdir
    check_place(workdir)
    recipe, checkpoint = extended(run, epochs, schedule, learning_rate)
    return train_from(find_start(recipe, extension=checkpoint), data, workdir=workdir, progress=progress)


@collect_garbage_afterwards
def train_from(
    start: Start,
    data: Any = None,
    *,
    workdir: str | Path,
    name: str | None = None,
    progress: bool = True,
    opened: InputPipeline | None = None,
    callbacks: MoreCallbacks | None = None,
    finish: Finish = run_folder.finish,
    report: bool = True,
) -> Run:
    """Build the job, which finds all errors, and only then open the run folder and train. See `fit`.

    Args:
        opened: the data if they are open already, and stay so.
        callbacks: function that returns additional callbacks, called after all others.
        finish: writes the artifact and the metrics.
        report: write report.html as `logging.report` selects; False: never.
    """
    started = time.monotonic()
    with opened_job(start, data, progress=progress, opened=opened) as job:
        progress = progress and job.devices.is_chief
        say = console.say if progress else console.silent
        for line in summary(job):
            say(line, indent=LABEL)
        with run_folder.opened(job, start, workdir, name, say) as run:
            page = ReportPage(job, run, say, wanted=report)
            more = [*(callbacks(job) if callbacks else ()), page]
            trainer = Trainer(job, run, started=started, callbacks=more, progress=progress, say=say)
            outcome = trainer.fit(start.checkpoint)
            finish(run, job, outcome)
            if progress and (sentence := closing_sentence(job, outcome.state, run.folder)):
                say(sentence)
            page.finish()
            return run

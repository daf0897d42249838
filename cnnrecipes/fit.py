"""`fit`, `resume` and `extend`: train a recipe, resume an interrupted run, train a finished run for more epochs."""

from __future__ import annotations

import contextlib
import gc
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from cnnrecipes import models
from cnnrecipes._support import console, keras_settings
from cnnrecipes._support.atomic_files import is_utf8
from cnnrecipes.data import input_pipeline
from cnnrecipes.data.audit.check import quarantine
from cnnrecipes.data.images.pixel_values import say_or_warn
from cnnrecipes.data.readable import open_readable
from cnnrecipes.data.sources.source import Source, recipe_name, unmeasured, unrecordable
from cnnrecipes.errors import CNNRecipesWarning, DataError, Interrupted, OutOfMemory, RunError
from cnnrecipes.optim import rescale
from cnnrecipes.optim.schedules import clipped
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.recipe.tables import RESUMABLE, fixed_part
from cnnrecipes.runs import checkpoint, unfinished
from cnnrecipes.runs.artifact import Artefact
from cnnrecipes.runs.evaluation import evaluate
from cnnrecipes.runs.extension import begun, extended
from cnnrecipes.runs.run import Run, check_place
from cnnrecipes.training import loggers, preflight, trainer
from cnnrecipes.training.distributed.strategy import Placement, place
from cnnrecipes.training.summary import LABEL, summary
from cnnrecipes.training.train_job import Prepared, prepare

FEW = 20  # validation images below which the 95% interval of an accuracy is wider than 40 points
START = "start_from.npz"  # in a run folder: the weights that train.start_from named


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
    """Train a recipe and return the finished run.

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

    Returns:
        The run, with its artifact and metrics written.

    Raises:
        CNNRecipesError: the recipe, the data, the model or the run folder is invalid, or the loss diverges.
        Interrupted: the training received Ctrl-C or SIGTERM; a checkpoint is written, from which `resume` continues.
    """
    check_place(workdir, name)
    base = catalog.load(recipe)
    recipe = _complete(base, data, seed, changes)
    with _memory_released():
        training = _Training(recipe, data, progress, recipe.train.start_from)
        if rescale.fit(base.optimizer.warmup, base.optimizer.schedule, base.train.epochs) and recipe != base:
            training.make_room(changes)
        return training.run(workdir, lambda facts: Run.create(workdir, training.recipe, name))


def resume(run: str | Path | Run, data: Any = None, *, progress: bool = True, **changes: Any) -> Run:
    """Resume an unfinished run bit-exactly from its latest valid checkpoint.

    Args:
        run: the run, or the path of its folder.
        data: the same data as was passed to `fit`; None if the run was trained on the recipe's data set.
        progress: print a summary and progress bars; False: print nothing.
        changes: keys of the tables `devices` and `logging`, which do not affect the trained weights, for example
            `**{"logging.checkpoint_every": "5 min"}`.

    Returns:
        The run, with its artifact and metrics written.

    Raises:
        RunError: the run does not exist or is finished, its checkpoint belongs to another recipe or other data, or a
            change is in another table.
        CNNRecipesError: as for `fit`.
    """
    run = _opened(run)
    if run.finished:
        raise RunError(f"{str(run.folder)!r} is finished; `cnnrecipes extend` trains it for more epochs")
    recipe = _changed_on_resume(run, changes)
    with _memory_released():
        return _Training(recipe, data, progress, _first_weights(run)).run(run.folder, lambda facts: run, newest)


def extend(
    run: str | Path | Run,
    epochs: int,
    *,
    schedule: Literal["stretch", "restart", "constant"],
    learning_rate: float | None = None,
    data: Any = None,
    workdir: str | Path | None = None,
    progress: bool = True,
) -> Run:
    """Train a finished run for more epochs in a new run, starting from its last checkpoint; the old run is unchanged.

    Args:
        run: the finished run, or the path of its folder.
        epochs: number of additional epochs.
        schedule: "stretch": the recipe's schedule rescaled to the total number of epochs, from the current position;
            "restart": the schedule from its start, over the additional epochs; "constant": a constant learning rate.
            `analysis.plot_schedule` plots them.
        learning_rate: learning rate of "constant".
        data: the same data as was passed to `fit`; None if the run was trained on the recipe's data set.
        workdir: parent folder of the new run folder; None: the parent folder of the old one.
        progress: print a summary and progress bars; False: print nothing.

    Returns:
        The new run, with its artifact and metrics written.

    Raises:
        RunError: the run does not exist or is unfinished, its last checkpoint is missing, or the data differ.
        RecipeError: `epochs`, `schedule` or `learning_rate` is invalid.
    """
    run = _opened(run)
    workdir = run.folder.parent if workdir is None else workdir
    check_place(workdir)
    longer, start = extended(run, epochs, schedule, learning_rate)

    def begin(facts: Mapping[str, Any]) -> Run:
        _check_same(start, facts)
        return begun(workdir, longer, start)

    with _memory_released():
        return _Training(longer, data, progress).run(workdir, begin, newest)


def newest(folder: Path, say: Callable[[str], None]) -> checkpoint.Checkpoint | None:
    """Return the latest valid checkpoint of a run folder, or None if there is none."""
    return checkpoint.newest(folder / "checkpoints", say)


Start = Callable[[Path, Callable[[str], None]], checkpoint.Checkpoint | None]


class _Training:
    """One training of a recipe: validate all inputs, then create the run folder, then train."""

    def __init__(self, recipe: Recipe, data: Any, progress: bool, start_from: str | Path | None = None):
        """start_from: source of the initial weights; None: random initialization, or a checkpoint."""
        keras_settings.check()
        self.start_from = start_from
        self.started = time.monotonic()
        self.how_to_go_on = "the same command"
        self.until_over = contextlib.ExitStack()  # what is held as long as it trains
        self.recipe = recipe
        models.find(recipe.model.name)
        loggers.check(recipe.logging)
        self.placement = place(recipe.devices)
        self.progress = progress and self.placement.is_chief
        self.say = console.say if self.progress else (lambda text, indent=0: None)
        preflight.note_devices(self.placement, self.say)
        self.source, self.unreadable = open_readable(
            data, recipe.data, lambda text: say_or_warn(text, self.say), progress=self.progress
        )
        self.until_over.enter_context(self.source)
        for line in self.source.layout.lines():
            self.say(line)
        _note_sizes(recipe, self.source, self.say)
        for line in unmeasured(self.source):
            self.say(f"warning: {line}")
        self.parts = recipe.train.microbatches
        if recipe.train.deterministic:
            preflight.make_deterministic()

    def make_room(self, asked: Mapping[str, Any]) -> None:
        """Clip what a changed recipe's schedule has no room for on this data; a length that was asked for stays."""
        steps = input_pipeline.steps_per_epoch(self.source.split("train"), self.recipe.data)
        room = clipped(self.recipe.optimizer, self.recipe.train, steps)
        changes = {key: value for key, value in room.items() if key not in asked}
        if changes:
            before = {f"optimizer.{key}": getattr(self.recipe.optimizer, key) for key in ("warmup", "schedule")}
            what = "; ".join(f"{key} = '{before[key]}' is now '{value}'" for key, value in changes.items())
            warnings.warn(
                f"a training of {self.recipe.train.epochs * steps} steps has no room for its schedule: {what}",
                CNNRecipesWarning,
                stacklevel=3,
            )
            self.recipe = self.recipe.change(**changes)

    def run(self, where: str | Path, folder: Callable[[Mapping[str, Any]], Run], start: Start | None = None) -> Run:
        """Train, then write the artifact and the metrics; only the chief worker writes files."""
        with keras_settings.float32(), self.placement.naming_lost_workers(lambda: self.how_to_go_on), self.until_over:
            run, prepared, outcome = self._trained(where, folder, start)
            with preflight.explained_disk(run.folder), _naming_interruption(run):
                artefact = prepared.artefact(outcome.weights, self.recipe, self.source.class_names)
                return _finish(run, artefact, self.source, outcome, self.placement)

    def _trained(self, where, folder, start: Start | None) -> tuple[Run, Prepared, trainer.Outcome]:
        """With batches in more parts where memory runs out, if the recipe wants that."""
        run = None
        while True:
            with trainer.seeded(self.recipe.train.seed):
                prepared = self._prepared()
                if run is None:
                    self._say_summary(prepared)
                    run = self._folder(where, folder, prepared)
                try:
                    with (
                        input_pipeline.naming_unreadable(self.source, self.recipe.data),
                        preflight.explained_disk(run.folder),
                    ):
                        return run, prepared, self._train(prepared, run, start)
                except OutOfMemory as error:
                    self._take_more_parts(error)
                    start = newest

    def _folder(self, where: str | Path, folder: Callable[[Mapping[str, Any]], Run], prepared: Prepared) -> Run:
        """The run of the first worker, in all of them; only now is a folder made."""
        name = ""
        if self.placement.is_chief:
            preflight.check_room(where, prepared.trainee)
            run = folder(prepared.facts)
            self.until_over.enter_context(run.held())
            run.keep(self.recipe)
            self._write_beginning(run, prepared)
            _leave_out(self.unreadable, run, self.say)
            name = str(run.folder)
        run = Run(self.placement.from_chief(name))
        self.how_to_go_on = f"cnnrecipes resume {run.folder}"
        return run

    def _say_summary(self, prepared: Prepared) -> None:
        steps = prepared.feed.steps_per_epoch
        for line in summary(self.recipe, self.source, prepared.trainee, self.placement, steps):
            self.say(line, indent=LABEL)

    def _prepared(self) -> Prepared:
        about = {"parts": self.parts, "progress": self.progress, "start_from": self.start_from}
        return prepare(self.recipe, self.source, self.placement, **about)

    def _write_beginning(self, run: Run, prepared: Prepared) -> None:
        """Write the files with which an unfinished run predicts, and resumes without `start_from`."""
        with preflight.explained_disk(run.folder):
            run.write(unfinished.FILE, json.dumps(prepared.about, indent=2))
            if self.start_from and not (run.folder / START).exists():
                arrays = {f"weights/{i:05d}": w.numpy() for i, w in enumerate(prepared.trainee.inner.weights)}
                checkpoint.write(run.folder / START, arrays, {"start_from": str(self.start_from)})

    def _train(self, prepared: Prepared, run: Run, start: Start | None) -> trainer.Outcome:
        found = start(run.folder, self.say) if start else None
        if found is not None:
            _check_same(found, prepared.facts)
        about = {"first_batch": prepared.first_batch, "class_names": self.source.class_names}
        session = trainer.Session(
            run.folder if self.placement.is_chief else None,
            self.placement,
            started=self.started,
            progress=self.progress,
            say=self.say,
            facts=prepared.facts,
            start=found,
            loggers=loggers.loggers(self.recipe, run.folder, **about) if self.placement.is_chief else (),
            how_to_go_on=self.how_to_go_on,
        )
        return trainer.train(prepared.trainee, prepared.schedule, prepared.feed, self.recipe, session)

    def _take_more_parts(self, error: OutOfMemory) -> None:
        """From now on batches in twice as many parts, where the recipe wants that; else the error is raised."""
        images = min(self.recipe.data.batch_size, len(self.source.split("train")))
        self.parts *= 2
        if self.recipe.devices.on_oom != "halve" or images % (self.parts * self.placement.devices):
            raise error
        self.say(f"{error.args[0].partition(';')[0]}; going on with each batch in {self.parts} parts")


@contextlib.contextmanager
def _memory_released() -> Iterator[None]:
    """Run the garbage collector on exit, since model, optimizer and callbacks form reference cycles.

    Python triggers a collection by the number of objects; here they are few, but large.
    """
    try:
        yield
    finally:
        gc.collect()


def _complete(recipe: Recipe, data: Any, seed: int | None, changes: Mapping[str, Any]) -> Recipe:
    """The recipe as it will be run and recorded."""
    changes = dict(changes)
    if data is not None:
        if problems := unrecordable(data):
            raise DataError.of(problems)
        changes["data.name"] = recipe_name(data)
    if seed is not None:
        changes["train.seed"] = seed
    recipe = recipe.change(**changes)
    if recipe.train.start_from:
        if not is_utf8(Path(recipe.train.start_from).absolute()):
            raise RunError(
                f"train.start_from = {recipe.train.start_from!r} is not UTF-8; rename it, or give a link to it"
            )
        # A resume may be in another folder.
        recipe = recipe.change(**{"train.start_from": str(Path(recipe.train.start_from).absolute())})
    return recipe


def _changed_on_resume(run: Run, changes: Mapping[str, Any]) -> Recipe:
    """The run's recipe with changes that leave what is trained as it is. Raises RunError for others."""
    recipe = run.recipe.change(**changes)
    before, after = (_flat(fixed_part(one.to_dict())) for one in (run.recipe, recipe))
    fixed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    if fixed:
        what = ", ".join(f"{key} ({before.get(key)!r} to {after.get(key)!r})" for key in fixed)
        raise RunError(
            f"a resumed run keeps what decides its training: {what} cannot change; the keys of "
            f"{' and '.join(RESUMABLE)} may. For more epochs `cnnrecipes extend` a finished run; for other settings "
            f"start a new run with train.start_from={run.folder}"
        )
    return recipe


def _first_weights(run: Run) -> str | Path | None:
    """Whose weights a run begins with that is resumed; None where a checkpoint has later ones."""
    if checkpoint.found(run.folder / "checkpoints"):
        return None
    kept = run.folder / START
    return kept if kept.is_file() else run.recipe.train.start_from


def _note_sizes(recipe: Recipe, source: Source, say: Callable[[str], None]) -> None:
    """Say where the batch is smaller than asked for, and where few images decide which epoch is the best."""
    images, asked = len(source.split("train")), recipe.data.batch_size
    if asked > images:
        say(f"data.batch_size = {asked} is more than there are training images: each step takes all {images}")
    held_out = len(source.split("validation")) if "validation" in source.splits else 0
    if 0 < held_out < FEW and (recipe.train.artifact == "best" or recipe.train.early_stopping):
        say(
            f"warning: {held_out} validation images choose the best epoch, so that one image is "
            f"{1 / held_out:.0%} of its accuracy: chance decides. Set data.validation higher, or train.artifact=last"
        )


def _opened(run: str | Path | Run) -> Run:
    """The run of a folder. Raises RunError."""
    return run if isinstance(run, Run) else Run.open(run)


def _leave_out(unreadable: Mapping[str, str], run: Run, say: Callable[[str], None]) -> None:
    """Say which files cannot be read, and list them in the run's quarantine.txt."""
    if unreadable:
        run.write("quarantine.txt", quarantine(unreadable))
        first, why = next(iter(unreadable.items()))
        said = f"{len(unreadable)} files cannot be read and are left out, as {first!r}: {why}"
        say(f"{said}; all are listed in {run.folder / 'quarantine.txt'}")


def _check_same(found: checkpoint.Checkpoint, facts: Mapping[str, Any]) -> None:
    """Raises RunError that says what differs between a checkpoint's recipe and data and those of now."""
    before, now = (
        _flat({"recipe": fixed_part(state["recipe"]), "data": state["data"]}) for state in (found.state, facts)
    )
    differing = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if differing:
        what = "; ".join(
            f"{key.removeprefix('recipe.')} was {before.get(key)!r} and is {now.get(key)!r}" for key in differing[:5]
        )
        raise RunError(
            f"the checkpoint {str(found.path)!r} is of another training: {what}; give back what it had, or train anew "
            "with `cnnrecipes fit`"
        )


@contextlib.contextmanager
def _naming_interruption(run: Run) -> Iterator[None]:
    """Ctrl-C while a trained model is measured as an Interrupted that says what is left to do."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            f"the training is over, and was stopped while it was measured; `cnnrecipes resume {run.folder}` measures"
        ) from None


def _flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one flat dict with dotted keys."""
    flat = {}
    for key, value in tables.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _finish(run: Run, artefact: Artefact, source: Source, outcome: trainer.Outcome, placement: Placement) -> Run:
    """Write the artifact and the metrics; the test split is evaluated only here."""
    if not placement.same(outcome.last):
        raise RunError("the workers end with different weights; please report this with the recipe")
    if placement.workers > 1:
        losses = ", ".join(f"{row['loss']:.6f}" for row in outcome.history[-5:])
        print(f"worker {placement.index + 1} of {placement.workers}: last losses {losses}; weights {outcome.last}")
    if placement.is_chief:
        artefact.save(run.folder / "model.keras")
        splits = [split for split in ("validation", "test") if split in source.splits]
        metrics = {split: evaluate(artefact, source.split(split)) for split in splits}
        about = {"epoch": outcome.epoch, "weights": checkpoint.digest(outcome.weights)}
        run.write("metrics.json", json.dumps({**about, **metrics}, indent=2))
    placement.from_chief("")
    return run

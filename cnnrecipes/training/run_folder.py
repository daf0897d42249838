"""The run folder at the start and at the end of a training; only the chief worker writes files."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cnnrecipes._support.atomic_files import write_whole
from cnnrecipes.errors import Interrupted, RunError
from cnnrecipes.runs import checkpoint, unfinished_run_model
from cnnrecipes.runs.evaluation import evaluate
from cnnrecipes.runs.extension import copy_start
from cnnrecipes.runs.records import CORRECTIONS, PARAMETERS, QUARANTINE, TRAINABLE
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.trained_model import Artifact
from cnnrecipes.runs.weights import START, write_weights
from cnnrecipes.training import preflight
from cnnrecipes.training.start_or_resume import Start
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.training.trainer import Outcome


@contextlib.contextmanager
def opened(
    job: TrainJob, start: Start, workdir: str | Path, name: str | None, say: Callable[[str], None]
) -> Iterator[Run]:
    """Create the run folder, or lock an existing one, and yield the run; errors within name the command to resume.

    Args:
        job: the training; nothing is written before it could be built.
        start: the start of the training; its `run` is locked, or a new folder created if that is None.
        workdir, name: of a new run folder, as in `Run.create`.
        say: receives messages.

    Raises:
        TrainingError: the disk is too full.
        RunError: the folder exists, cannot be written, or is being trained by another process.
    """
    with contextlib.ExitStack() as stack:
        folder = ""
        if job.devices.is_chief:
            preflight.check_disk(start.run.folder if start.run else workdir, job.model)
            run = start.run or Run.create(workdir, job.recipe, name)
            stack.enter_context(run.held())
            with preflight.naming_full_disk(run.folder):
                _write_start(run, job, start)
            _quarantine(run, job, say)
            folder = str(run.folder)
        run = Run(job.devices.broadcast(folder))
        command = f"cnnrecipes resume {run.folder}"
        stack.enter_context(job.devices.naming_lost_workers(command))
        stack.enter_context(preflight.naming_full_disk(run.folder))
        stack.enter_context(job.pipeline.naming_unreadable())
        try:
            yield run
        except Interrupted as error:
            raise Interrupted(f"{error}; `{command}` continues") from None


def finish(
    run: Run,
    job: TrainJob,
    outcome: Outcome,
    measured: Callable[[Artifact, TrainJob, Outcome], dict[str, Any]] | None = None,
) -> None:
    """Write the artifact and the metrics; the test split is evaluated only here.

    Args:
        measured: returns the metrics by split; None: those of the validation and the test split.

    Raises:
        RunError: the workers have different weights.
        Interrupted: Ctrl-C; a resume repeats the evaluation.
    """
    devices = job.devices
    if not devices.same(outcome.last):
        raise RunError("the workers end with different weights; please report this with the recipe")
    if devices.workers > 1:
        losses = ", ".join(f"{row['loss']:.6f}" for row in outcome.state.history[-5:])
        print(f"worker {devices.index + 1} of {devices.workers}: last losses {losses}; weights {outcome.last}")
    if devices.is_chief:
        try:
            artifact = job.artifact(outcome.weights)
            artifact.save(run.folder / "model.keras")
            metrics = (measured or _evaluated)(artifact, job, outcome) | job.plan.more_metrics()
        except KeyboardInterrupt:
            raise Interrupted("the training is over, and was stopped during its evaluation") from None
        about: dict[str, Any] = {"epoch": outcome.epoch, "weights": checkpoint.digest(outcome.weights)}
        about |= {PARAMETERS: job.parameters, TRAINABLE: job.trainable_parameters}
        run.write("metrics.json", json.dumps({**about, **metrics}, indent=2))
    devices.broadcast("")  # wait for the chief


def _evaluated(artifact: Artifact, job: TrainJob, outcome: Outcome) -> dict[str, Any]:
    source = job.pipeline.source
    splits = [split for split in ("validation", "test") if split in source.splits]
    return {split: evaluate(artifact, source.split(split)) for split in splits}


def _write_start(run: Run, job: TrainJob, start: Start) -> None:
    """Write recipe, model.json and initial weights, so that an unfinished run can predict, and resume on its own."""
    run.keep(job.recipe)
    pipeline = job.pipeline
    if corrections := job.recipe.data.corrections:
        # A copy for readers: evaluations read the file itself.
        write_whole(run.folder / CORRECTIONS, lambda beside: shutil.copyfile(corrections, beside))
    part = job.plan.trained_part(job.model.inner)
    description = unfinished_run_model.description(
        pipeline.image_shape, pipeline.class_names, pipeline.statistics, part
    )
    run.write(unfinished_run_model.FILE, json.dumps(description, indent=2))
    if start.checkpoint and start.is_extension:
        copy_start(start.checkpoint, run)
    if job.plan.has_initial_weights and not (run.folder / START).exists():
        origin = str(start.weights or job.recipe.model.weights)
        write_weights(
            run.folder / START, job.plan.initial_weights(job.model.inner), start_from=origin, remark=job.plan.remark
        )


def _quarantine(run: Run, job: TrainJob, say: Callable[[str], None]) -> None:
    """Write the files that were left out of the data to the run's quarantine.txt, and report them."""
    unreadable = job.pipeline.unreadable
    if unreadable:
        run.write(QUARANTINE, job.pipeline.quarantine())
        first, why = next(iter(unreadable.items()))
        say(
            f"{len(unreadable)} files cannot be read and are left out, for example {first!r}: {why}; all are listed "
            f"in {run.folder / QUARANTINE}"
        )

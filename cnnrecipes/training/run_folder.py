"""The run folder at the start and at the end of a training; only the chief worker writes files."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cnnrecipes._support.atomic_files import write_whole
from cnnrecipes.errors import Interrupted, RunError
from cnnrecipes.runs import checkpoint, unfinished_run_model
from cnnrecipes.runs.evaluation import Evaluation, evaluate
from cnnrecipes.runs.extension import copy_start
from cnnrecipes.runs.model_card import write_model_card
from cnnrecipes.runs.predictions import FILE as PREDICTIONS
from cnnrecipes.runs.predictions import write_predictions
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
    measured: Callable[[Artifact, TrainJob, Outcome], Mapping[str, Any]] | None = None,
) -> None:
    """Write the artifact, the predictions, the model card and the metrics; the test split is evaluated only here.

    Args:
        measured: returns the metrics by split, of which an `Evaluation` has predictions to keep; None: those of the
            validation and the test split.

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
            artifact = job.final_artifact(outcome.weights)
            artifact.save(run.folder / "model.keras")
            run.keep_artifact(artifact)
            evaluated = (measured or _evaluated)(artifact, job, outcome)
            metrics = {**evaluated, **job.plan.more_metrics()}
        except KeyboardInterrupt:
            raise Interrupted("the training is over, and was stopped during its evaluation") from None
        about: dict[str, Any] = {"epoch": outcome.epoch, "weights": checkpoint.digest(outcome.weights)}
        about |= {PARAMETERS: job.parameters, TRAINABLE: job.trainable_parameters}
        _write_end(run, {**about, **metrics}, evaluated)
    devices.broadcast("")  # wait for the chief


def _evaluated(artifact: Artifact, job: TrainJob, outcome: Outcome) -> dict[str, Evaluation]:
    """Evaluate validation and test once each; the temperature of the calibration is fitted on validation."""
    source, found = job.pipeline.source, {}
    if "validation" in source.splits:
        found["validation"] = evaluate(artifact, source.split("validation"), temperature="fit", source=source)
    if "test" in source.splits:
        temperature = found["validation"]["temperature"] if found else None
        found["test"] = evaluate(artifact, source.split("test"), temperature=temperature, source=source)
    return found


def _write_end(run: Run, metrics: Mapping[str, Any], evaluated: Mapping[str, Any]) -> None:
    """Write predictions and model card, and then metrics.json, which makes the run finished."""
    kept = {split: one.predictions for split, one in evaluated.items() if isinstance(one, Evaluation)}
    if kept:
        write_predictions(run.folder / PREDICTIONS, list(kept.values()))
    write_model_card(run.folder, run.recipe, metrics, kept)
    run.write("metrics.json", json.dumps(metrics, indent=2))


def _write_start(run: Run, job: TrainJob, start: Start) -> None:
    """Write recipe, model.json and initial weights, so that an unfinished run can predict, and resume on its own."""
    run.keep(job.recipe)
    pipeline = job.pipeline
    if corrections := job.recipe.data.corrections:
        # A copy for readers: evaluations read the file itself.
        write_whole(run.folder / CORRECTIONS, lambda beside: shutil.copyfile(corrections, beside))
    part = job.plan.trained_part(job.model.inner)
    images = {name: len(split) for name, split in pipeline.source.splits.items()}
    description = unfinished_run_model.description(
        pipeline.image_shape, pipeline.class_names, pipeline.statistics, part, images
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

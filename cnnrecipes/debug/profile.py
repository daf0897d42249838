"""Throughput profile: where the time of a training step goes, and whether the input or the computation limits it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import tensorflow as tf

from cnnrecipes._support.atomic_files import write_text
from cnnrecipes._support.cores import available_cores
from cnnrecipes._support.garbage_collection import collect_garbage_afterwards
from cnnrecipes.debug.examined_training import opened_subject
from cnnrecipes.debug.input_timing import input_seconds, input_shares
from cnnrecipes.debug.profile_advice import Facts, advice
from cnnrecipes.debug.step_timing import StepTimes, step_times, training_seconds
from cnnrecipes.errors import TrainingError
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs.records import PROFILE
from cnnrecipes.runs.run import Run
from cnnrecipes.training.train_job import TrainJob

STEPS, FEWEST = 20, 10


@dataclass(frozen=True)
class Profile:
    """Result of `profile`. All times are seconds of one training step.

    Attributes:
        recipe, model, device: their names.
        batch_size: images of a step.
        step: parts of the step on a batch in memory.
        training: a step of the training, with its batch from the input pipeline.
        input: a batch from the input pipeline alone.
        input_shares: shares of "read", "decode" and "augmentation" in the work of the input pipeline.
        change: the setting that would help first.
        reason: why.
    """

    recipe: str
    model: str
    device: str
    batch_size: int
    step: StepTimes
    training: float
    input: float
    input_shares: Mapping[str, float]
    change: str = ""
    reason: str = ""

    @property
    def bound(self) -> str:
        """The limit of the speed: "input" if the input pipeline alone is slower than the step alone, else "compute"."""
        return "input" if self.input > self.step.whole else "compute"

    @property
    def waiting(self) -> float:
        """Seconds that a step of the training takes longer than on a batch in memory: it waits, or shares the CPU."""
        return max(self.training - self.step.whole, 0.0)

    @property
    def table(self) -> pd.DataFrame:
        """The parts of a training step: columns part, seconds, share (of a whole step)."""
        times = dataclasses.asdict(self.step)
        times = {"waiting for input": self.waiting, **{name: s for name, s in times.items() if name != "whole"}}
        rows = [(name, seconds, seconds / self.training) for name, seconds in times.items()]
        return pd.DataFrame(rows, columns=["part", "seconds", "share"])

    @property
    def error(self) -> float:
        """Sum of the separately measured parts relative to the step of the training, minus 1."""
        return float(self.table["seconds"].sum() / self.training - 1)

    @property
    def images_per_second(self) -> dict[str, float]:
        """Images/s of the input pipeline alone, of the step alone, and of both together, the training."""
        seconds = {"input": self.input, "step": self.step.whole, "training": self.training}
        return {name: self.batch_size / each for name, each in seconds.items()}

    def record(self) -> dict[str, Any]:
        """Return all results as a dict of JSON types."""
        parts = self.table.set_index("part")["seconds"].to_dict()
        own = {"bound": self.bound, "images_per_second": self.images_per_second, "parts": parts, "error": self.error}
        return {**dataclasses.asdict(self), "input_shares": dict(self.input_shares), **own, "conclusion": str(self)}

    def keep(self, run: Run | str | Path) -> Path:
        """Write profile.json into the folder of a run, for its report, and return its path.

        Raises:
            RunError: not a run folder.
            WriteError: the file cannot be written.
        """
        path = Run.open(run).folder / PROFILE
        write_text(path, json.dumps(self.record(), indent=2))
        return path

    def __str__(self) -> str:
        speed = self.images_per_second
        return (
            f"{self.bound}-bound: the input pipeline alone gives {speed['input']:,.0f} images/s, the step alone takes "
            f"{speed['step']:,.0f}, both together {speed['training']:,.0f}. First try {self.change}: {self.reason}."
        )


@collect_garbage_afterwards
def profile(
    recipe: str | Path | Mapping[str, Any] | Recipe | Run,
    data: Any = None,
    *,
    steps: int = STEPS,
    seed: int | None = None,
    progress: bool = True,
    **changes: Any,
) -> Profile:
    """Measure where the time of a training step goes; nothing is trained, and no file is written.

    The step, its forward pass, its gradients, its update and the augmentation in it are compiled separately and timed
    in turn on a batch in memory, each between two synchronizations of the devices; medians. The input pipeline alone
    and the training (both together) are means over the steps, since batches come in bursts. The training is one on one
    device (`devices.strategy = "single"`), with one step per call.

    Args:
        recipe, data, seed, progress, changes: as in `fit`; or a run, for its recipe: `Profile.keep` adds the result to
            its report.
        steps: timed steps, at least 10.

    Raises:
        TrainingError: fewer than 10 steps, or a recipe without training steps (a logistic regression on features).
        CNNRecipesError: as for `fit`.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < FEWEST:
        raise TrainingError(f"steps is {steps!r}; give a whole number of at least {FEWEST}")
    changes = {**changes, "devices.strategy": "single"}
    recipe = recipe.recipe if isinstance(recipe, Run) else recipe
    with opened_subject(recipe, data, seed=seed, progress=progress, changes=changes) as job:
        require_steps(job)
        times = step_times(job, steps, progress=progress)
        training, input_time = training_seconds(job, steps), input_seconds(job.pipeline, steps)
        found = Profile(
            recipe=job.recipe.name,
            model=job.recipe.model.name,
            device=device_name(),
            batch_size=job.pipeline.images_per_step,
            step=times,
            training=training,
            input=input_time,
            input_shares=input_shares(job.pipeline),
        )
        change, reason = advice(found.bound, times, found.input_shares, Facts.of(job))
        return dataclasses.replace(found, change=change, reason=reason)


def require_steps(job: TrainJob) -> None:
    """Raise TrainingError if the recipe has no training steps."""
    if not job.plan.trains_by_steps:
        raise TrainingError(
            f"{job.recipe.name} fits a logistic regression to frozen features and has no training steps; set "
            "transfer.head=mlp, or transfer.how to finetune or lora"
        )


def device_name() -> str:
    """Return the name of the first GPU, or "CPU with n cores"."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))
    return f"CPU with {available_cores()} cores"

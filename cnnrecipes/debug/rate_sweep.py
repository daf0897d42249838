"""`RateSweep`: an exponential sweep of the learning rate over the first steps of a training, for several seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cnnrecipes._support.progress import watch
from cnnrecipes.debug.rate_suggestions import TAKE, TAKE_UNDECAYED, TAKES, Reading, has_diverged, read_curves
from cnnrecipes.debug.short_training import (
    at_given_rates,
    drawn_values,
    reset_metrics,
    set_values,
    train,
    train_function,
)
from cnnrecipes.errors import TrainingError, counted
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.training.given_rates import GivenRates
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.training.xla_fallback import fit_without_xla_if_it_fails

_SEEDS = 2**31  # of a recipe
_DECAYED = 0.5  # of the peak, below which the last rate has decayed
_UNCHANGED = 1e-5  # change of weights up to 1 by rounding, where an optimizer averages them


@dataclass(frozen=True)
class RateSweep:
    """Losses of a sweep of the learning rate, and what they suggest; `str()` is a sentence.

    Learning rates are values of `optimizer.learning_rate`, before `optimizer.scale_rate` and layer-wise rates.

    Attributes:
        name: name of the recipe.
        recipe_rate: the recipe's learning rate.
        rates: (n,) learning rates of the steps.
        losses: (k, n) training losses of k seeds; NaN behind the end of a curve.
        batch_size: images of a step.
        seconds: seconds of the whole sweep.
        take: the suggestion that is the answer: "valley", "steepest", "minimum" or "high".
        decays: True if the recipe's schedule ends below half of its peak.
    """

    name: str
    recipe_rate: float
    rates: np.ndarray
    losses: np.ndarray
    batch_size: int
    seconds: float
    take: str = TAKE
    decays: bool = True

    @cached_property
    def reading(self) -> Reading:
        """The suggested learning rates, and how certain they are."""
        return read_curves(self.rates, self.losses)

    @property
    def suggested(self) -> float | None:
        """The suggestion of `take`, to two digits; None if the sweep is uninformative."""
        found = self.reading.suggestions
        return float(f"{found.of(self.take):.2g}") if found else None

    def __str__(self) -> str:
        found = self.reading.suggestions
        if found is None:
            return self.reading.problem
        spread, count = self.reading.spread(self.take), sum(one is not None for one in self.reading.seeds)
        seeds = f"{count} of {len(self.losses)} seeds" if count < len(self.losses) else counted(count, "seed")
        over = f"; {spread[0]:.2g} to {spread[1]:.2g} over {seeds}" if spread and len(self.losses) > 1 else ""
        others = ", ".join(f"{name} {found.of(take):.2g}" for take, (_, name) in TAKES.items() if take != self.take)
        text = (
            f"Suggested learning rate: {found.of(self.take):.2g} ({TAKES[self.take][1]}{over}); {others}; usable range "
            f"{found.low:.2g} to {found.high:.2g}; the recipe has {self.recipe_rate:.2g}. {self._advice()}"
        )
        return f"{text} {self.reading.remark}".rstrip()

    def _advice(self) -> str:
        """Return in which direction to try other rates."""
        if not self.decays:
            return (
                "The recipe's rate does not decay: with optimizer.schedule=cosine, higher rates usually train better."
            )
        if self.take != TAKE:
            return "Try upward within the range: the recipe's rate decays, so that the upper end usually trains best."
        return (
            "The recipe's rate decays, so that the upper end usually trains best; go down if the loss rises at first."
        )

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each kind of suggestion: name, rate, and the lowest and highest rate of the seeds."""
        found = self.reading.suggestions
        if found is None:
            return []
        seeds = [vars(one) for one in self.reading.seeds if one]
        return [
            {
                "suggestion": name,
                "rate": rate,
                "lowest": min((one[name] for one in seeds), default=None),
                "highest": max((one[name] for one in seeds), default=None),
            }
            for name, rate in vars(found).items()
        ]


def sweep(
    job: TrainJob,
    rates: Sequence[float] | np.ndarray,
    seeds: int = 3,
    *,
    progress: bool = False,
    say: Callable[[str], None] = print,
) -> RateSweep:
    """Train the first steps of a job at rising learning rates, for several seeds; the job is restored.

    Each step is the training's own, with its optimizer, augmentation, microbatches, precision and weight averages. The
    first seed is the job's; others have other initial weights, where they are drawn, and the batches of later epochs.
    A curve ends where it diverges, see `rate_suggestions.has_diverged`.

    Args:
        job: a training that has not begun.
        rates: (n,) rising values of `optimizer.learning_rate`.
        seeds: number of curves.
        progress: show progress.
        say: receives a message if XLA fails.

    Raises:
        TrainingError: the loss of the first step, or its gradients, are not finite; or the optimizer has no rate.
        OutOfMemory: a device is out of memory.
    """
    rates, table = np.asarray(rates, float), job.recipe.optimizer
    started, given, seed = time.monotonic(), GivenRates(), job.recipe.train.seed
    scale = job.schedule.peak / table.learning_rate
    epochs = -(-len(rates) // job.pipeline.steps_per_epoch)
    losses = np.full((seeds, len(rates)), np.nan)
    with at_given_rates(job, given) as initial:
        _check_first_step(job, given, say)
        for number, row in enumerate(losses):
            set_values(job, initial)
            if number:
                set_values(job, drawn_values(job, (seed + number) % _SEEDS))
            what = f"learning rate sweep {number + 1} of {seeds}"
            first = number * epochs * job.pipeline.steps_per_epoch
            curve = _Curve(job, given, first, rates * scale, what, progress)
            fit_without_xla_if_it_fails(curve.run, job.model, say)
            row[: len(curve.losses)] = curve.losses
    images = job.pipeline.images_per_step
    decays = float(job.schedule(job.total_steps - 1)) < _DECAYED * job.schedule.peak
    return RateSweep(
        name=job.recipe.name,
        recipe_rate=table.learning_rate,
        rates=rates,
        losses=losses,
        batch_size=images,
        seconds=time.monotonic() - started,
        take=TAKE if decays else TAKE_UNDECAYED,
        decays=decays,
    )


def _check_first_step(job: TrainJob, given: GivenRates, say: Callable[[str], None]) -> None:
    """Check that a step at learning rate 0 has a finite loss and leaves the weights as they are.

    Raises:
        TrainingError: it does not, so that no learning rate is the cause of what is wrong.
    """
    weights = job.model.inner.trainable_variables
    before = [np.asarray(weight.numpy()) for weight in weights]
    given.set(0.0)
    ((loss,), _) = train(job, [1], say)
    after = [np.asarray(weight.numpy()) for weight in weights]
    wrong = None if np.isfinite(loss) else f"the loss of the first step is {loss}"
    if not wrong and not all(np.isfinite(value).all() for value in after):
        wrong = "the gradients of the first step are not finite"
    if wrong:
        raise TrainingError(
            f"{wrong}, before any update of the weights, so that no learning rate is the cause; check the images with "
            "`cnnrecipes check-data` and the initial weights with `cnnrecipes inspect`, or try train.precision=float32"
        )
    changes = (np.abs(new - old).max() / max(np.abs(old).max(), 1.0) for new, old in zip(after, before, strict=True))
    if max(changes) > _UNCHANGED:
        raise TrainingError(
            f"optimizer.name = {job.recipe.optimizer.name!r} changes the weights at a learning rate of 0, as one "
            "without a learning rate does; there is none to find"
        )


class _Curve:
    """One curve of a sweep; `losses` are the finite ones up to the divergence."""

    def __init__(self, job: TrainJob, given: GivenRates, first: int, rates: np.ndarray, what: str, progress: bool):
        self.job, self.given, self.first, self.rates = job, given, first, rates
        self.what, self.progress, self.losses = what, progress, np.empty(0)

    def run(self) -> None:
        """Train at the rates, one step at each."""
        execute, count, found = train_function(self.job), len(self.rates), list[float]()
        self.job.model.progress = TrainState(steps_per_epoch=count)
        batches = iter(self.job.training_batches(self.first, self.first + count))
        for rate in watch(self.rates, self.what, count, self.progress):
            self.given.set(rate)
            reset_metrics(self.job)
            found.append(float(execute(batches)["loss"]))
            if has_diverged(np.array(found)):
                break
        self.losses = np.array(found if np.isfinite(found[-1]) else found[:-1])

"""Schedules, optimizers and losses as a recipe writes them: `schedule = "step('30 epochs', 0.1)"`.

A class here says what may be written; `training/` holds what each one does.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cnnrecipes.syntax.call_syntax import Call, parse_call
from cnnrecipes.syntax.duration import Duration

Share = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Factor = Annotated[float, Field(gt=0, lt=1)]
Floor = Annotated[Share, Field(description="the lowest learning rate, as a share of the peak")]


class Schedule(Call):
    """The learning rate against the step, after the warm-up, from 1 (the peak) to 0."""


class Constant(Schedule):
    """The peak, to the end."""


class Cosine(Schedule):
    """Half a cosine from the peak to the floor (Loshchilov & Hutter 2017, "SGDR", eq. 5, without restarts)."""

    floor: Floor = 0.0


class OneCycle(Schedule):
    """Up, then down, along cosines (Smith & Topin 2017, "Super-convergence"), shaped as PyTorch's OneCycleLR."""

    rise: float = Field(default=0.3, gt=0, lt=1, description="share of the training in which it rises")
    start_ratio: float = Field(default=25.0, gt=1, description="it starts at the peak / this")
    end_ratio: float = Field(default=1e4, gt=1, description="and ends at that / this")


class Step(Schedule):
    """Times a factor, again and again."""

    every: Duration
    factor: Factor = 0.1


class MultiStep(Schedule):
    """Times a factor at each milestone, as in He et al. 2015, section 4.2."""

    milestones: Annotated[tuple[Duration, ...], Field(strict=False, min_length=1)]
    factor: Factor = 0.1


class Polynomial(Schedule):
    """(1 - share of the training) to a power, down to the floor; power 1 is a line."""

    power: float = Field(default=1.0, gt=0)
    floor: Floor = 0.0


class Exponential(Schedule):
    """Times a factor in every so many steps, smoothly in between."""

    every: Duration = Duration(1, "epochs")
    factor: Factor = 0.95


class Trapezoid(Schedule):
    """The peak, then a straight cool-down to the floor (Hägele et al. 2024, "Scaling laws beyond fixed durations")."""

    cooldown: Duration = Duration(20, "%")
    floor: Floor = 0.0


class WarmRestarts(Schedule):
    """A cosine that begins anew after every cycle, each cycle longer (Loshchilov & Hutter 2017, "SGDR", eq. 5)."""

    first: Duration = Field(default=Duration(10, "epochs"), description="length of the first cycle")
    growth: float = Field(default=2.0, ge=1, description="a cycle's length to the one's before")
    floor: Floor = 0.0


class Plateau(Schedule):
    """Times a factor when the validation has not improved for so many epochs."""

    patience: int = Field(default=10, ge=1, description="epochs without a better validation")
    factor: Factor = 0.1
    floor: Floor = 0.0


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "cosine": Cosine,
    "one_cycle": OneCycle,
    "step": Step,
    "multi_step": MultiStep,
    "polynomial": Polynomial,
    "exponential": Exponential,
    "trapezoid": Trapezoid,
    "warm_restarts": WarmRestarts,
    "plateau": Plateau,
}


class Extension(Call):
    """What a training does with its learning rate when it goes on after its end."""

    epoch: int = Field(ge=1, description="the epoch after which it holds")


_PLANNED = Field(default=None, ge=1, description="epochs of the training before it, where it was stopped early")


class Restart(Extension):
    """The recipe's schedule anew, warm-up and all, over the epochs that follow."""

    planned: int | None = _PLANNED


class Hold(Extension):
    """One learning rate to the end."""

    learning_rate: float = Field(gt=0)
    planned: int | None = _PLANNED


class Stretch(Extension):
    """The recipe's schedule as it would have been at this place, had it been as long as this from its start."""

    planned: int | None = _PLANNED


EXTENSIONS: dict[str, type[Extension]] = {"stretch": Stretch, "restart": Restart, "constant": Hold}


class Optimizer(Call):
    """An optimizer's own parameters; learning rate, momentum of sgd and weight decay are keys of a recipe."""


class SGD(Optimizer):
    """Stochastic gradient descent with `optimizer.momentum`, in Nesterov's form (Sutskever et al. 2013)."""

    nesterov: bool = True


class AdamW(Optimizer):
    """Loshchilov & Hutter 2019, "Decoupled weight decay regularization", algorithm 2; as PyTorch's AdamW."""

    beta_1: Decay = 0.9
    beta_2: Decay = 0.999
    epsilon: float = Field(default=1e-8, gt=0)


class LAMB(AdamW):
    """Adam's step and the decay, scaled by each kernel's trust ratio; for large batches (You et al. 2020, algorithm 2).

    Norms and biases take Adam's step, unless `optimizer.decay_all`.
    """

    epsilon: float = Field(default=1e-6, gt=0)


class Lion(Optimizer):
    """The sign of a momentum (Chen et al. 2023, "Symbolic discovery", algorithm 2); wants a tenth of AdamW's rate."""

    beta_1: Annotated[float, Field(gt=0, lt=1)] = 0.9
    beta_2: Decay = 0.99


class Muon(Optimizer):
    """Orthogonalized momentum for the weights of convolutions; AdamW for the first and last layer and vectors.

    Jordan et al. 2024, "Muon"; kernels are matrices (height * width * channels, filters), scaled as by Liu et al. 2025.
    """

    momentum: Decay = 0.95
    steps: int = Field(default=5, ge=1, description="Newton-Schulz iterations")
    auxiliary_rate: float = Field(default=1.0, gt=0, description="AdamW's learning rate, as a multiple of Muon's")
    beta_1: Decay = 0.9
    beta_2: Decay = 0.999
    epsilon: float = Field(default=1e-8, gt=0)


class ScheduleFreeAdamW(Optimizer):
    """An average instead of a schedule (Defazio et al. 2024, "The road less scheduled"); wants schedule "constant"."""

    beta_1: Annotated[float, Field(gt=0, lt=1)] = 0.9
    beta_2: Decay = 0.999
    epsilon: float = Field(default=1e-8, gt=0)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "adamw": AdamW,
    "lamb": LAMB,
    "lion": Lion,
    "muon": Muon,
    "schedule_free_adamw": ScheduleFreeAdamW,
}


class Loss(Call):
    """What is minimized, of logits against one-hot or mixed labels; `train.label_smoothing` applies to each."""


class CrossEntropy(Loss):
    """Of the softmax, in nats."""


class BinaryCrossEntropy(Loss):
    """Of each class for itself, averaged over the classes; for mixes (Wightman et al. 2021, section 3)."""

    threshold: float | None = Field(
        default=None, ge=0, lt=1, description="a class with a larger share counts whole, others not; none: its share"
    )


class Focal(Loss):
    """Cross entropy in which an example counts (1 - its probability)^gamma (Lin et al. 2017, eq. 4)."""

    gamma: float = Field(default=2.0, ge=0)


LOSSES: dict[str, type[Loss]] = {
    "cross_entropy": CrossEntropy,
    "binary_cross_entropy": BinaryCrossEntropy,
    "focal": Focal,
}


def schedule(text: str) -> Schedule:
    """Read `optimizer.schedule`. Raises RecipeError, or UnknownNameError."""
    return parse_call(text, SCHEDULES, "schedule")


def extension(text: str) -> Extension:
    """Read one of `optimizer.extensions`. Raises RecipeError, or UnknownNameError."""
    return parse_call(text, EXTENSIONS, "extension")


def optimizer(text: str) -> Optimizer:
    """Read `optimizer.name`. Raises RecipeError, or UnknownNameError."""
    return parse_call(text, OPTIMIZERS, "optimizer")


def loss(text: str) -> Loss:
    """Read `train.loss`. Raises RecipeError, or UnknownNameError."""
    return parse_call(text, LOSSES, "loss")

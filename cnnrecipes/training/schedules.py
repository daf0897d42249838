"""Learning rate schedules, by the names of a recipe."""

from __future__ import annotations

import math

import keras

from cnnrecipes import recipe
from cnnrecipes.errors import RecipeError

Schedule = keras.optimizers.schedules.LearningRateSchedule


def schedule(spec: recipe.Train, steps_per_epoch: int) -> Schedule:
    """The schedule of a recipe, learning rate against optimizer step.

    "cosine" and "constant" begin with a linear warm-up from 0; "cosine" then falls to 0 (Loshchilov & Hutter 2017,
    eq. 5, without restarts). "one_cycle" brings its own rise.

    Raises:
        RecipeError: a warm-up that is not over before the training is.
    """
    total = spec.epochs * steps_per_epoch
    warmup = spec.warmup.steps(steps_per_epoch, total)
    if warmup >= total:
        raise RecipeError(
            f"train.warmup = '{spec.warmup}' is {warmup} steps of a training of {total}; make it shorter, as '5%'"
        )
    if spec.schedule == "one_cycle":
        if warmup:
            raise RecipeError(f"train.warmup = '{spec.warmup}' with one_cycle, which has its own; set it to '0 epochs'")
        return OneCycle(spec.learning_rate, total)
    # Keras' cosine with floor 1 stays at the peak.
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else spec.learning_rate,
        decay_steps=total - warmup,
        alpha=1.0 if spec.schedule == "constant" else 0.0,
        warmup_target=spec.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


@keras.saving.register_keras_serializable(package="cnnrecipes")
class OneCycle(Schedule):
    """Up from peak / 25 to the peak in 30% of the steps, down to peak / 250,000, both along a cosine.

    Smith & Topin 2017 ("Super-convergence"), with the shape and the defaults of PyTorch's `OneCycleLR`; the momentum
    stays as it is.
    """

    def __init__(
        self, peak: float, total_steps: int, rise: float = 0.3, start_ratio: float = 25.0, end_ratio: float = 1e4
    ):
        self.peak, self.total_steps, self.rise = peak, total_steps, rise
        self.start_ratio, self.end_ratio = start_ratio, end_ratio

    def __call__(self, step):
        start = self.peak / self.start_ratio
        top, last = self.rise * self.total_steps - 1, self.total_steps - 1
        step = keras.ops.cast(step, "float32")
        up = _cosine(start, self.peak, step / max(top, 1e-9))
        down = _cosine(self.peak, start / self.end_ratio, (step - top) / max(last - top, 1e-9))
        return keras.ops.where(step <= top, up, down)

    def get_config(self):
        names = ("peak", "total_steps", "rise", "start_ratio", "end_ratio")
        return {name: getattr(self, name) for name in names}


def _cosine(start, end, share):
    """From start (share 0) to end (share 1) along half a cosine."""
    share = keras.ops.clip(share, 0.0, 1.0)
    return end + (start - end) * (1 + keras.ops.cos(math.pi * share)) / 2

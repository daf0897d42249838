"""Check of the learning rate: does the recipe's own one memorize, is it too low, or does the loss explode?"""

from __future__ import annotations

from collections.abc import Callable

from cnnrecipes.debug.checks.check import CANNOT_TELL, FAIL, OK, WARNING, Check
from cnnrecipes.debug.memorization import RateTrial

_FAR = 100.0  # factor by which a rate that memorizes lies above one that is too low
_HARDLY, _MOSTLY = 0.05, 0.8  # share of the loss above its floor that a rate that is too low, or works, takes away


def check_rate(
    rate: float, own: RateTrial, found: RateTrial | None, floor: float, explodes: Callable[[], bool]
) -> Check:
    """Check the peak learning rate of a recipe by trials on a few images.

    Args:
        rate: the recipe's peak rate.
        own: the trial with it.
        found: the trial with a rate that was searched; None: there was none.
        floor: the lowest loss.
        explodes: returns True if the loss explodes on the recipe's own batches too; called only if it does in `own`.
    """
    name, works = "learning rate", found is not None and _works(found, floor)
    instead = "no other rate was found"
    if found is not None and works:
        instead = f"{found.rate:.2g} {'memorizes the images' if found.reached else 'lowers it further'}"
    if own.reached:
        return Check(name, OK, f"the recipe's {rate:g} memorizes the images in {own.steps} steps")
    if own.exploded:
        if explodes():
            what = (
                f"at the recipe's {rate:g} the loss explodes in step {own.steps}, and on the recipe's own batches too"
            )
            return Check(name, FAIL, what, f"lower optimizer.learning_rate: {instead}")
        what = f"the recipe's {rate:g} is too high for so few images, but not for its own batches; {instead}"
        return Check(name, WARNING if works else CANNOT_TELL, what)
    progress = _progress(own, floor)
    moved = f"in {own.steps} steps the loss goes from {own.losses[0]:.3f} to {own.losses[-1]:.3f}"
    if found is None or not works:
        return Check(name, CANNOT_TELL, f"at the recipe's {rate:g}, {moved}; {instead}")
    if progress < _HARDLY and found.rate >= _FAR * rate:
        what = f"the recipe's {rate:g} is too low: {moved}; {instead}"
        return Check(name, FAIL, what, f"raise optimizer.learning_rate towards {found.rate:.1g}")
    return Check(name, OK, f"the recipe's {rate:g} is slow or unsteady on so few images: {moved}; {instead}")


def _progress(trial: RateTrial, floor: float) -> float:
    """Return the share of the first loss above its floor that a trial took away at most, 0..1."""
    return (trial.losses[0] - min(trial.losses)) / max(trial.losses[0] - floor, 1e-12)


def _works(trial: RateTrial, floor: float) -> bool:
    return trial.reached or _progress(trial, floor) > _MOSTLY

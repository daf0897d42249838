"""`OverfitResult`: the verdict of memorizing a few images, in one line, and its causes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from cnnrecipes.debug.checks.check import CANNOT_TELL, FAIL, WARNING, Check, with_status
from cnnrecipes.debug.checks.labels_match_images import NAME as LABELS


@dataclass(frozen=True)
class OverfitResult:
    """The result of `overfit`.

    Attributes:
        recipe: name of the recipe.
        memorized: True if the training loss came near its floor, and all images are classified right.
        images, classes: number of images, and of their classes.
        steps: number of training steps.
        first_loss, loss: mean training loss (training mode) before the first step, and at the end.
        floor: the lowest loss that is possible; above 0 with label smoothing, for example.
        uniform: the loss for equal probabilities, ln(classes) for the cross entropy.
        accuracy: share of the images that are classified right at the end, in training mode, 0..1.
        rate: learning rate at the end.
        switched_off: what was switched off for this training, for example "weight decay (0.0005)".
        checks: all checks that were made, passed or not.
        losses: training loss of each step.
        seconds: time of the whole call.
    """

    recipe: str
    memorized: bool
    images: int
    classes: int
    steps: int
    first_loss: float
    loss: float
    floor: float
    uniform: float
    accuracy: float
    rate: float
    switched_off: tuple[str, ...]
    checks: tuple[Check, ...]
    losses: tuple[float, ...] = field(repr=False)
    seconds: float

    @property
    def passed(self) -> bool:
        """True if the images are memorized and no check failed."""
        return self.memorized and not with_status(self.checks, FAIL)

    @property
    def causes(self) -> list[Check]:
        """Checks that explain why the training is broken, in an order that begins with the cause; [] if it passed."""
        if self.passed:
            return []
        statuses = (FAIL,) if self._explained else (FAIL, WARNING)
        return with_status(self.checks, *statuses)

    @property
    def notes(self) -> list[Check]:
        """Checks with warnings that are no causes."""
        return [check for check in with_status(self.checks, WARNING) if check not in self.causes]

    @property
    def remarks(self) -> list[Check]:
        """Checks to read beside the verdict: warnings, failures, and labels that cannot be told."""
        unsure = [check for check in with_status(self.checks, CANNOT_TELL) if check.name == LABELS]
        return [*unsure, *with_status(self.checks, WARNING, FAIL)]

    @property
    def _explained(self) -> bool:
        """True if a failed check explains the result without warnings; a rate that fails may have another cause."""
        return any(check.name != "learning rate" for check in with_status(self.checks, FAIL))

    def __str__(self) -> str:
        what = f"{self.images} images of {self.classes} classes"
        floor = f" (floor {self.floor:.3f})" if self.floor > 0 else ""
        losses = f"training loss {self.first_loss:.3f} -> {self.loss:.3f}{floor} in {self.steps} steps"
        done = "memorized" if self.memorized else f"not memorized, {self.accuracy:.0%} right"
        line = f"{'PASS' if self.passed else 'FAIL'}: {what} {done}, {losses}, rate {self.rate:.2g}"
        if self.passed:
            return line
        if not self.causes:
            return f"{line}. No check found the cause; a larger --steps (steps=) may be all it takes"
        first, *others = self.causes
        more = f". Also: {', '.join(check.name for check in others)}" if others else ""
        return f"{line}. Cause: {first}{more}"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a dict of JSON types."""
        causes = [check.name for check in self.causes]
        return {"verdict": "PASS" if self.passed else "FAIL", **asdict(self), "causes": causes, "text": str(self)}

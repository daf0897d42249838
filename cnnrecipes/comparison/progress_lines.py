"""`TrainingClock`: a line for each training of a comparison, with an estimate of the time that the others take."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from cnnrecipes.comparison.accuracy_speed_memory import Score


class TrainingClock:
    """Messages about trainings, with an estimate of the time that the others take.

    Args:
        total: number of trainings.
        say: receives the messages.
    """

    def __init__(self, total: int, say: Callable[[str], None]):
        self.total, self.say, self.done = total, say, 0
        self.seconds: list[float] = []
        self.started = time.monotonic()

    def tell(self, label: str, score: Score, was_trained: bool, split: str) -> None:
        """Say one line about a training that has just ended, or was found finished."""
        self.done += 1
        now = time.monotonic()
        seconds, self.started = now - self.started, now
        result = "the loss is not finite" if score.failed else f"{split} {score.accuracy:.2%}"
        if not was_trained:
            self.say(f"[{self.done}/{self.total}] seed {score.seed}, {label}: {result}, trained before")
            return
        self.seconds.append(seconds)
        left = (self.total - self.done) * float(np.median(self.seconds))
        rest = f"; about {_duration(left)} left" if self.done < self.total else ""
        self.say(f"[{self.done}/{self.total}] seed {score.seed}, {label}: {result} in {_duration(seconds)}{rest}")


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"

"""When a training changes its course or ends before its last epoch: patience, plateaus, a time budget, a signal."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras

from cnnrecipes.optim.schedules import Schedule
from cnnrecipes.training.callbacks.state import Best, Position


class EarlyStopping(keras.callbacks.Callback):
    """Ends the training after so many epochs without a better validation. Put it after `best`."""

    def __init__(self, best: Best, patience: int, say: Callable[[str], None]):
        super().__init__()
        self.best, self.patience, self.say = best, patience, say
        self.waited = 0

    def on_epoch_end(self, epoch, logs=None):
        self.waited = 0 if self.best.improved else self.waited + 1
        if self.ended:
            self.say(f"no better validation for {self.waited} epochs; the best is epoch {self.best.epoch}")
            self.model.stop_training = True

    @property
    def ended(self) -> bool:
        """Return whether it has stopped the training; a resume must not continue then."""
        return self.waited >= self.patience

    def state(self) -> dict[str, Any]:
        return {"waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        self.waited = state["waited"]


class PlateauDrop(keras.callbacks.Callback):
    """Lowers the learning rate after so many epochs without a better validation. Put it after `best`."""

    def __init__(self, best: Best, schedule: Schedule):
        super().__init__()
        self.best, self.schedule = best, schedule
        self.waited = 0

    def on_epoch_end(self, epoch, logs=None):
        self.waited = 0 if self.best.improved else self.waited + 1
        if self.waited >= self.schedule.plateau.patience:
            self.schedule.lower()
            self.waited = 0

    def state(self) -> dict[str, Any]:
        return {"waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        self.waited = state["waited"]


# Of a time budget: the least that is kept for what follows the last step, as a share and in seconds; and what other
# things take of the time that compiling, or a step with its image, has been seen to take.
_SHARE_KEPT, _SECONDS_KEPT = 0.03, 2.0
_COMPILING_EACH = 0.4  # of the training step's: a forward pass, in the validation and again for the artefact
_FORWARD = 0.4  # of a step's
_SLACK = 1.3  # more than the validations so far have taken


class TimeBudget(keras.callbacks.Callback):
    """Moves the training along its schedule with the clock, so that both end together.

    Li et al. 2020, "Budgeted training", for a budget that is a time. The schedule stands where the larger share is used
    up, of the time or of the steps. Time is left for the last validation and for what comes after the training,
    estimated from the validations so far.

    Args:
        seconds: of the budget, from `started` on (`time.monotonic`).
        feed: how many images a step, a validation and the measuring afterwards have (`loop.Feed`).
        agree: the mean over all workers of each number of a list.
        validation: what measures the validation split, and knows how long it took; None where there is none.
        say: told of a budget that was over before the first epoch.
    """

    def __init__(
        self, position: Position, schedule: Schedule, seconds: float, started: float, feed, agree, validation, say
    ):
        super().__init__()
        self.say, self.ready = say, 0.0  # seconds until the first execution was over
        self.position, self.schedule, self.seconds, self.started = position, schedule, seconds, started
        self.feed, self.agree, self.validation = feed, agree, validation
        self.per_image = 0.0  # seconds of an image in validation
        self.last = time.monotonic()
        self.first = self.execution = None  # seconds of the first execution, which compiles, and of the longest since
        self.measured = self.ended = False

    @property
    def reserve(self) -> float:
        """Seconds that are kept for what follows the last step."""
        images = self.feed.validation_images + self.feed.images_after
        compiling = (self.first or 0.0) * _COMPILING_EACH * (1 if self.measured else 2)
        return max(_SHARE_KEPT * self.seconds, _SECONDS_KEPT) + compiling + _SLACK * images * self.per_image

    def on_train_batch_begin(self, batch, logs=None):
        self.last = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        now = time.monotonic()
        if self.first is None:
            self.first, self.ready = now - self.last, now - self.started
        else:
            self.execution = max(self.execution or 0.0, now - self.last)
            if not self.measured:
                # Until there was a validation.
                self.per_image = _FORWARD * (now - self.last) / (self.feed.images_per_step * self.model.steps)
        limit = self.seconds - self.reserve
        used, after_next = self.agree([now - self.started, now - self.started + (self.execution or 0.0)])
        done = self.position.total / self.schedule.total_steps
        # Never back, where the end was thought to be nearer than it is.
        before = float(self.schedule.position.numpy()) / self.schedule.total_steps
        share = min(max(used / max(limit, 1e-9), done, before), 1.0)
        self.schedule.position.assign(share * self.schedule.total_steps)
        if after_next >= limit and done < 1:
            self.ended = self.model.stop_training = True
            if self.position.total < self.position.steps_per_epoch:
                self.say(
                    f"the time budget of {self.seconds:g} s is over after step {self.position.total} of the first "
                    f"epoch's {self.position.steps_per_epoch}: {self.ready:.0f} s went by until the first steps were "
                    "compiled and made; give it more"
                )

    def on_epoch_end(self, epoch, logs=None):
        if self.validation is not None:
            self.per_image = self.validation.seconds / self.feed.validation_images
            self.measured = True

    def state(self) -> dict[str, Any]:
        return {
            "used": time.monotonic() - self.started,
            "per_image": self.per_image,
            "measured": self.measured,
            "ended": self.ended,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.started -= state["used"]
        self.per_image, self.measured, self.ended = state["per_image"], state["measured"], state["ended"]


class Signals:
    """Ctrl-C, or the SIGTERM of a scheduler, asks the training to stop after its step; the second time at once."""

    def __init__(self, say: Callable[[str], None]):
        self.say = say
        self.received: str | None = None

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """While within, signals are noted; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name
        self.say("stopping after this step, with a checkpoint; once more stops at once")

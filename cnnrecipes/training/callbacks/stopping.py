"""Callbacks that end a training or lower its learning rate: early stopping, plateaus, a time budget, signals."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator

import keras

from cnnrecipes.keras_optim.recipe_schedule import RecipeSchedule
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.training.distributed.devices import Devices


class EarlyStopping(keras.callbacks.Callback):
    """Ends the training after `patience` epochs without a better validation. Must follow `BestWeights`."""

    def __init__(self, state: TrainState, patience: int, say: Callable[[str], None]):
        super().__init__()
        self.state, self.patience, self.say = state, patience, say

    def on_epoch_end(self, epoch, logs=None):
        waited = self.state.epochs_without_improvement
        if waited >= self.patience:
            self.state.stop_reason = (
                f"no better validation for {waited} epochs; the best is epoch {self.state.best_epoch}"
            )
            self.say(self.state.stop_reason)
            self.model.stop_training = True


class ReduceOnPlateau(keras.callbacks.Callback):
    """Lowers the learning rate after `patience` epochs without a better validation. Must follow `BestWeights`."""

    def __init__(self, state: TrainState, schedule: RecipeSchedule, patience: int):
        super().__init__()
        self.state, self.schedule, self.patience = state, schedule, patience

    def on_epoch_end(self, epoch, logs=None):
        if self.state.epochs_at_this_rate >= self.patience:
            self.schedule.lower()
            self.state.epochs_at_this_rate = 0


# Reserve of a time budget for everything after the last step: a share and seconds of the budget; compilations, as
# shares of the first execution; and a factor on the measured time of evaluations.
_SHARE_RESERVED, _SECONDS_RESERVED = 0.03, 2.0
_COMPILATION = 0.4  # of the training step's: a forward pass, in the validation and again for the artifact
_FORWARD = 0.4  # seconds of a forward pass per second of a training step
_MARGIN = 1.3


class TimeBudget(keras.callbacks.Callback):
    """Advances the position in the schedule with the time used, so that schedule and time budget end together.

    "Budgeted training" (Li et al. 2020) with a budget in seconds. The position in the schedule is the larger of the
    shares of the budget and of the steps that are used up. Time is reserved for the last validation and for the final
    evaluations, estimated from the validations so far.

    Args:
        schedule: the schedule, whose position is set.
        seconds: the budget, counted from `started`.
        started: `time.monotonic()` of the start of the training.
        images: (per training step, of the validation, of the evaluations after the training).
        devices: the workers, which stop at the same step.
        say: receives a message if the budget ends in the first epoch.
    """

    def __init__(
        self,
        state: TrainState,
        schedule: RecipeSchedule,
        seconds: float,
        started: float,
        *,
        images: tuple[int, int, int],
        devices: Devices,
        say: Callable[[str], None],
    ):
        super().__init__()
        self.state, self.schedule, self.seconds, self.started = state, schedule, seconds, started - state.seconds
        self.position: keras.Variable = schedule.position
        self.per_step, self.validation_images, self.images_after = images
        self.devices, self.say = devices, say
        self.last = time.monotonic()
        self.ready = 0.0  # seconds until the first execution, which compiles, was over
        self.first: float | None = None  # seconds of the first execution
        self.longest = 0.0  # and of the longest of the others

    @property
    def deadline(self) -> float:
        """`time.monotonic()` at which the budget is used up."""
        return self.started + self.seconds

    @property
    def reserve(self) -> float:
        """Seconds that are reserved for validation, final evaluations and compilation after the last step."""
        images = self.validation_images + self.images_after
        compilations = (self.first or 0.0) * _COMPILATION * (1 if self.state.validation_timed else 2)
        least = max(_SHARE_RESERVED * self.seconds, _SECONDS_RESERVED)
        return least + compilations + _MARGIN * images * self.state.seconds_per_image

    def on_train_batch_begin(self, batch, logs=None):
        self.last = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        now = time.monotonic()
        self._time_execution(now)
        self.state.seconds = now - self.started
        limit = self.seconds - self.reserve
        used, after_next = self.devices.mean([self.state.seconds, self.state.seconds + self.longest])
        done = self.state.total_steps / self.schedule.total_steps
        # Never backwards, if the reserve was estimated too large before.
        before = float(self.position.numpy()) / self.schedule.total_steps
        share = min(max(used / max(limit, 1e-9), done, before), 1.0)
        self.position.assign(share * self.schedule.total_steps)
        if after_next >= limit and done < 1:
            self._stop()

    def _time_execution(self, now: float) -> None:
        if self.first is None:
            self.first, self.ready = now - self.last, now - self.started
            return
        self.longest = max(self.longest, now - self.last)
        if not self.state.validation_timed:
            self.state.seconds_per_image = (
                _FORWARD * (now - self.last) / (self.per_step * self.state.steps_per_execution)
            )

    def _stop(self) -> None:
        self.state.stop_reason = f"the time budget of {self.seconds:g} s is used up"
        self.model.stop_training = True
        if self.state.total_steps < self.state.steps_per_epoch:
            self.say(
                f"the time budget of {self.seconds:g} s is over after step {self.state.total_steps} of the first "
                f"epoch's {self.state.steps_per_epoch}: {self.ready:.0f} s passed until the first steps were "
                "compiled and executed; set train.time_budget higher"
            )

    def on_epoch_end(self, epoch, logs=None):
        self.state.seconds = time.monotonic() - self.started
        if self.validation_images:
            self.state.seconds_per_image = self.state.validation_seconds / self.validation_images
            self.state.validation_timed = True


class Signals:
    """Handles Ctrl-C and SIGTERM: the first signal stops the training after its step, the second at once."""

    def __init__(self, say: Callable[[str], None]):
        self.say = say
        self.received: str | None = None

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Handle Ctrl-C and SIGTERM in the `with` block; without effect outside of the main thread."""
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
        self.say("stopping after this step, with a checkpoint; a second signal stops at once")

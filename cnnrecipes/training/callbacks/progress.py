"""Training progress: a bar on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import importlib.util
import time
from datetime import timedelta

import keras
from rich.console import Console
from rich.progress import Progress, TextColumn
from rich.table import Column

from cnnrecipes._support.progress import bar
from cnnrecipes._support.text_wrapping import NARROW, fields, wrap
from cnnrecipes.runs.training_progress import TrainState

_BAR_EVERY = 0.5  # seconds; reading the logs waits for the device, so not at every step
_LINE_EVERY = 30.0
_LONGEST = 1e10  # seconds, 317 years; timedelta cannot hold much more
_ESTIMATE_AFTER = 2.0  # seconds of steps, from which the time of the training is estimated in its first epoch


class ProgressDisplay(keras.callbacks.Callback):
    """Shows the estimated time after the first steps and one line per epoch; meanwhile a bar, or a line every 30 s.

    Args:
        state: the state of the training; the display must be before `NextEpoch`.
        total_steps: steps of the whole training.
        console: where to print; None: standard output.
        deadline: `time.monotonic()` at which the training ends at the latest; None: no deadline.
    """

    def __init__(
        self, state: TrainState, total_steps: int, console: Console | None = None, deadline: float | None = None
    ):
        super().__init__()
        self.state, self.total_steps, self.deadline = state, total_steps, deadline
        self.console = console or Console()
        # In a notebook rich wants ipywidgets for its bar, and warns at every line where they are missing.
        widgets = importlib.util.find_spec("ipywidgets") is not None
        self.live = widgets if self.console.is_jupyter else self.console.is_terminal
        self.bar: Progress | None = None
        self.before: int | None = None  # steps after the first execution, which compiles

    def on_train_begin(self, logs=None):
        self.epochs = self.params["epochs"]
        self.start = self.shown = time.perf_counter()
        self.before = None
        self.estimated, self.first_epoch = False, self.state.epoch
        if self.live:
            numbers = TextColumn("{task.fields[numbers]}", table_column=Column(no_wrap=True))
            self.bar = bar(self.console, numbers)
            self.task = self.bar.add_task("starting", total=self.total_steps, numbers="")
            self.bar.start()

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self.before is None:
            self.start, self.before = now, self.state.total_steps
        elif not self.estimated and self.state.epoch == self.first_epoch and now - self.start >= _ESTIMATE_AFTER:
            self._estimate(now)
        if now - self.shown < (_BAR_EVERY if self.live else _LINE_EVERY):
            return
        if not self.live and self.state.step == self.state.steps_per_epoch:
            return  # the line of the epoch follows
        self.shown = now
        loss, accuracy = f"loss {float(logs['loss']):.4f}", f"accuracy {float(logs['accuracy']):.1%}"
        title, left = self._title(self.state.epoch), f"ETA {self._left()}"
        if self.live:
            self._move(title, [loss, left] if self.console.width < NARROW else [loss, accuracy, left])
        else:
            step = f"step {self.state.step}/{self.state.steps_per_epoch}"
            self._line(fields([title, step, loss, accuracy, left], None))

    def on_epoch_end(self, epoch, logs=None):
        parts = [self._title(epoch), f"loss {logs['loss']:.4f}", f"accuracy {logs['accuracy']:.1%}"]
        if "val_loss" in logs:
            parts += [f"val_loss {logs['val_loss']:.4f}", f"val_accuracy {logs['val_accuracy']:.1%}"]
        parts += [f"{logs['images_per_second']:.0f} images/s", f"ETA {self._left()}"]
        # On a narrow terminal these two are left out first: the bar has the ETA, history.csv the speed.
        self._line(fields(parts, self._columns(), optional=2))
        if self.live:
            self._move(self._title(min(epoch + 1, self.epochs - 1)), [parts[-1]])

    def on_train_end(self, logs=None):
        self.close()

    def close(self) -> None:
        """Remove the bar from the terminal, also after an error."""
        if self.bar is not None:
            self.bar.stop()

    def _estimate(self, now: float) -> None:
        """Print the expected duration, from the steps after the first, which compiles."""
        self.estimated = True
        step = (now - self.start) / self._steps_timed()
        left = (self.total_steps - self.state.total_steps) * step
        text = f"estimated time: {timedelta(seconds=round(left))}, at {step:.3g} s a step"
        self._line(wrap(text, self._columns()))

    def _move(self, title: str, numbers: list[str]) -> None:
        if self.bar is not None:
            done = self.state.total_steps
            self.bar.update(self.task, completed=done, description=title, numbers="  ".join(numbers))

    def _steps_timed(self) -> int:
        """Return the number of steps after the first execution."""
        return 0 if self.before is None else self.state.total_steps - self.before

    def _columns(self) -> int | None:
        return self.console.width if self.console.is_terminal and not self.console.is_jupyter else None

    def _title(self, epoch: int) -> str:
        return f"epoch {epoch + 1:>{len(str(self.epochs))}}/{self.epochs}"

    def _left(self) -> str:
        done = self._steps_timed()
        if done < 1 and self.deadline is None:
            return "unknown"
        seconds = (time.perf_counter() - self.start) / max(done, 1) * (self.total_steps - self.state.total_steps)
        if self.deadline is not None:
            until = max(self.deadline - time.monotonic(), 0.0)
            seconds = min(seconds, until) if done else until
        return str(timedelta(seconds=round(min(seconds, _LONGEST))))

    def _line(self, text: str) -> None:
        if self.console.is_jupyter and not self.live:
            print(text)  # below what was printed before, where rich would begin a new block for every line
        else:
            (self.bar.console if self.bar else self.console).print(text, highlight=False, soft_wrap=True)

"""Progress with the time that is left: a bar on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import importlib.util
import time
from datetime import timedelta

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from cnnrecipes.training.callbacks import Position

_BAR_EVERY = 0.5  # seconds; reading the logs waits for the device, so not at every step
_LINE_EVERY = 30.0
_LONGEST = 1e10  # seconds, 317 years; timedelta cannot hold much more
_ESTIMATE_AFTER = 2.0  # seconds of steps, from which the time of the training is estimated in its first epoch


class ProgressDisplay(keras.callbacks.Callback):
    """The estimated time after the first steps, then one line an epoch; in between a bar, or a line every 30 seconds.

    deadline: `time.monotonic` at which it ends in any case; None: at its last step.
    """

    def __init__(
        self, position: Position, total_steps: int, console: Console | None = None, deadline: float | None = None
    ):
        super().__init__()
        self.position, self.total_steps, self.deadline = position, total_steps, deadline
        self.console = console or Console()
        # In a notebook rich wants ipywidgets for its bar, and warns at every line where they are missing.
        widgets = importlib.util.find_spec("ipywidgets") is not None
        self.live = widgets if self.console.is_jupyter else self.console.is_terminal
        self.bar = None

    def on_train_begin(self, logs=None):
        self.epochs = self.params["epochs"]
        self.start = self.shown = time.perf_counter()
        self.before = None  # where it was when the first execution, which compiles, was over
        self.estimated, self.first_epoch = False, self.position.epoch
        if self.live:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[numbers]}"))
            self.bar = Progress(*columns, console=self.console, transient=True)
            self.task = self.bar.add_task("starting", total=self.total_steps, numbers="")
            self.bar.start()

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self.before is None:
            self.start, self.before = now, self.position.total
        elif not self.estimated and self.position.epoch == self.first_epoch and now - self.start >= _ESTIMATE_AFTER:
            self._estimate(now)
        if now - self.shown < (_BAR_EVERY if self.live else _LINE_EVERY):
            return
        self.shown = now
        numbers = f"loss {float(logs['loss']):.4f}  accuracy {float(logs['accuracy']):.1%}  ETA {self._left()}"
        title = self._title(self.position.epoch)
        if self.live:
            self.bar.update(self.task, completed=self.position.total, description=title, numbers=numbers)
        else:
            self._line(f"{title}  step {self.position.step}/{self.position.steps_per_epoch}  {numbers}")

    def on_epoch_end(self, epoch, logs=None):
        validation = (
            f"  val_loss {logs['val_loss']:.4f}  val_accuracy {logs['val_accuracy']:.1%}" if "val_loss" in logs else ""
        )
        self._line(
            f"{self._title(epoch)}  loss {logs['loss']:.4f}  accuracy {logs['accuracy']:.1%}{validation}"
            f"  {logs['images_per_second']:.0f} images/s  ETA {self._left()}"
        )

    def on_train_end(self, logs=None):
        self.close()

    def close(self):
        """Take the bar from the terminal, also when the training ends with an error."""
        if self.bar is not None:
            self.bar.stop()

    def _estimate(self, now: float) -> None:
        """Print the expected duration, from the steps after the first, which compiles."""
        self.estimated = True
        step = (now - self.start) / (self.position.total - self.before)
        left = (self.total_steps - self.position.total) * step
        self._line(f"estimated time: {timedelta(seconds=round(left))}, at {step:.3g} s a step")

    def _title(self, epoch: int) -> str:
        return f"epoch {epoch + 1:>{len(str(self.epochs))}}/{self.epochs}"

    def _left(self) -> str:
        done = self.position.total - self.before
        if done < 1 and self.deadline is None:
            return "unknown"
        seconds = (time.perf_counter() - self.start) / max(done, 1) * (self.total_steps - self.position.total)
        if self.deadline is not None:
            until = max(self.deadline - time.monotonic(), 0.0)
            seconds = min(seconds, until) if done else until
        return str(timedelta(seconds=round(min(seconds, _LONGEST))))

    def _line(self, text: str) -> None:
        (self.bar.console if self.bar else self.console).print(text, highlight=False, soft_wrap=True)

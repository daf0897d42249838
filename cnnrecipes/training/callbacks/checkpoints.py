"""When checkpoints are written, and what stands in them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import keras

from cnnrecipes.errors import Interrupted
from cnnrecipes.runs import checkpoint
from cnnrecipes.syntax.duration import Duration, TimeSpan
from cnnrecipes.training.callbacks.state import Position
from cnnrecipes.training.callbacks.stopping import Signals
from cnnrecipes.training.distributed.strategy import Placement


class Saver(keras.callbacks.Callback):
    """Writes a checkpoint every so often, at the end, and where a signal asks for it. Put it after what remembers.

    Args:
        parts: name to callback, of those that remember something.
        facts: what else the checkpoint says: the recipe, the data.
        how_to_go_on: the end of the message of an interrupted training.
    """

    def __init__(
        self,
        writer: checkpoint.Writer | None,
        position: Position,
        every: TimeSpan | Duration,
        placement: Placement,
        signals: Signals,
        *,
        parts: Mapping[str, Any],
        facts: Mapping[str, Any],
        total_steps: int,
        how_to_go_on: str,
    ):
        super().__init__()
        self.writer, self.position, self.placement, self.signals = writer, position, placement, signals
        self.parts, self.facts, self.how_to_go_on = parts, facts, how_to_go_on
        by_time = isinstance(every, TimeSpan)
        self.seconds = every.seconds if by_time else None
        self.steps = None if by_time else max(every.steps(position.steps_per_epoch, total_steps), 1)
        self.last_time, self.last_step = time.monotonic(), 0

    def on_train_begin(self, logs=None):
        self.last_time, self.last_step = time.monotonic(), self.position.total

    def on_train_batch_end(self, batch, logs=None):
        if self.position.step < self.position.steps_per_epoch:
            self._look()

    def on_epoch_end(self, epoch, logs=None):
        self.position.end_epoch()
        self._look()

    def _look(self) -> None:
        due, stop = self.placement.agree([float(self._due()), float(self.signals.received is not None)])
        if due or stop:
            self.save()
        if stop:
            self.writer and self.writer.finish()
            raise Interrupted(
                f"stopped by {self.signals.received or 'a signal to another worker'} after step {self.position.step} "
                f"of epoch {self.position.epoch + 1}; {self.how_to_go_on}"
            )

    def _due(self) -> bool:
        if self.seconds is not None:
            return time.monotonic() - self.last_time >= self.seconds
        return self.position.total // self.steps > self.last_step // self.steps

    def save(self) -> None:
        """Every worker reads the variables, since some are sums over all; the first one writes."""
        arrays = checkpoint.capture(self.model.state())
        self.last_time, self.last_step = time.monotonic(), self.position.total
        if self.writer is not None:
            remembered = {name: part.state() for name, part in self.parts.items()}
            self.writer.write(self.position.total, arrays, {**self.facts, "parts": remembered})

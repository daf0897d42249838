"""The callback that watches the layers: activations, gradients and updates at single steps, written to watch.csv."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.errors import one_line
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.runs.watch_records import WatchFile
from cnnrecipes.training.layer_probe import LayerProbe, probe_batch
from cnnrecipes.training.tensorboard_layer_summaries import WatchSummaries

SHARE = 0.02  # of the training time that the watch takes at most, unless its interval is given
# Seconds of the first observation per second of the first execution, which traces and compiles the same layers.
_FIRST = 0.3


class ObservedSteps(keras.callbacks.Callback):
    """Makes the model run the observed steps in calls of their own. It measures nothing.

    Every worker but the chief needs it: a reduction over the workers is named after the iteration of the loop in which
    it runs, so that workers which divide the same steps into other calls wait for each other forever.

    Observed are the first step, those after 1, 2, 4, 8, ... steps, and the last one of each interval.

    Args:
        every: the interval in steps.
    """

    def __init__(self, every: int):
        super().__init__()
        self.every = every

    def on_train_begin(self, logs=None):
        self.model.observer = self

    def on_train_end(self, logs=None):
        self.model.observer = None

    def next_step(self, step: int) -> int:
        """Return the first step to observe that is not before `step`."""
        return next_observed(step, self.every)

    @contextlib.contextmanager
    def observing(self, step: int) -> Iterator[None]:
        """Run the step in the `with` block."""
        yield


class Watch(ObservedSteps):
    """Measures all layers at the observed steps. Must precede `FiniteLoss`.

    Before an observed step the layers are measured on a small batch, which is always the same. The step runs in a call
    of its own; the weights before and after it give the update. Nothing is added to the compiled step: it has the same
    graph and the same bits. In a training of several workers only the chief has this callback and the others have
    `ObservedSteps`. No reduction over the workers takes part in a measurement.

    Another measurement is made when the loss is NaN or infinite.

    Args:
        state: the progress of the training.
        pipeline: gives the batch.
        every: the interval in steps.
        file: receives the rows of each step.
        share: of the time since the start of the training that the watch takes at most: a step that would exceed it is
            not observed; None: each is. The first observation is expected to take a part of the first execution, and
            is made as soon as it is within this share of the expected time of the whole training.
        total: steps of the whole training.
        longest: seconds after which the training ends at the latest, if there is such a limit.
        summaries: writes the rows for TensorBoard.
        say: receives a message if the watch has to end.
    """

    def __init__(
        self,
        state: TrainState,
        pipeline: InputPipeline,
        *,
        every: int,
        file: WatchFile,
        share: float | None = None,
        total: int = 0,
        longest: float = math.inf,
        summaries: WatchSummaries | None = None,
        say: Callable[[str], None] = print,
    ):
        super().__init__(every)
        self.state, self.pipeline, self.file = state, pipeline, file
        self.share, self.total, self.longest, self.summaries, self.say = share, total, longest, summaries, say
        self.seconds = 0.0  # spent on the watch since the start of the training
        self._probe: LayerProbe | None = None
        self._cost: float | None = None  # seconds of the latest observation; before it, as expected
        self._step: float | None = None  # seconds of a step, of the fastest execution after the first
        self._over = False

    def on_train_begin(self, logs=None):
        self._begin, self.seconds, self._over = time.perf_counter(), 0.0, False
        self.file.keep_before(self.state.total_steps)
        super().on_train_begin(logs)

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self._probe = None
        if self.summaries:
            self.summaries.close()

    def on_train_batch_begin(self, batch, logs=None):
        self._execution = (time.perf_counter() - self.seconds, self.state.total_steps)

    def on_train_batch_end(self, batch, logs=None):
        start, first = self._execution
        seconds, steps = time.perf_counter() - self.seconds - start, self.state.total_steps - first
        if self._cost is None:
            self._cost = _FIRST * seconds
        elif steps:
            self._step = min(seconds / steps, self._step or math.inf)
        if not self._over and not math.isfinite(float(logs["loss"])):
            with self._timed(), self._ending_on_errors():
                self._write(self.state.total_steps, self._opened_probe().measure())

    @contextlib.contextmanager
    def observing(self, step: int) -> Iterator[None]:
        """Measure the layers, execute the step in the `with` block, and write the rows with its update."""
        spent = self.seconds
        rows, before = self._measured() if self._affordable() else (None, [])
        yield
        if rows is not None:
            with self._timed(), self._ending_on_errors():
                self._opened_probe().add_updates(rows, before)
                self._write(step, rows)
            self._cost = self.seconds - spent

    def _measured(self) -> tuple[list[dict[str, Any]] | None, Sequence[tf.Tensor]]:
        """Return the rows before a step, and copies of the weights; (None, []) if the watch ends with an error."""
        self._wait_for_steps()
        with self._timed(), self._ending_on_errors():
            probe = self._opened_probe()
            return probe.measure(), probe.copy_weights()
        return None, []

    def _wait_for_steps(self) -> None:
        """Wait for the steps before, which set the weights last: they are no part of the measurement."""
        smallest = min(self.model.inner.trainable_variables, key=lambda variable: math.prod(variable.shape))
        tf.convert_to_tensor(smallest.value).numpy()

    def _opened_probe(self) -> LayerProbe:
        if self._probe is None:
            self._probe = LayerProbe(self.model, *probe_batch(self.model, self.pipeline))
        return self._probe

    def _affordable(self) -> bool:
        if self._over or self.share is None:
            return not self._over
        spent = time.perf_counter() - self._begin
        if not self.seconds and self._step is not None:
            left = max(self.total - self.state.total_steps, 0)
            spent = max(spent, min(spent + left * self._step, self.longest))
        return self._cost is not None and self.seconds + self._cost <= self.share * spent

    def _write(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        self.file.add(step, rows)
        if self.summaries:
            self.summaries(step, rows)

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - start

    @contextlib.contextmanager
    def _ending_on_errors(self) -> Iterator[None]:
        """End the watch with a message if it cannot measure or write."""
        try:
            yield
        except Exception as error:  # whatever a layer raises outside of the step: the training does not depend on it
            self._over, self._probe = True, None
            self.say(f"the layers are not watched any more: {one_line(error)[:300]}; logging.watch=off skips this")


def next_observed(step: int, every: int) -> int:
    """Return the first observed step that is not before `step`, counted from 0.

    Observed are 0, the powers of 2 below `every`, and the last step of each interval of `every` steps.
    """
    early = 0 if step == 0 else 1 << (step - 1).bit_length()
    last = (step // every + 1) * every - 1
    return min(early, last) if early < every else last

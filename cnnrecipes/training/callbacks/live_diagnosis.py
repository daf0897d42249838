"""Diagnosis during a training: one line when the verdict on the history changes, and a sentence at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from cnnrecipes.diagnosis.diagnosis import Diagnosis, diagnosed
from cnnrecipes.diagnosis.evidence import Evidence, LayerRecord
from cnnrecipes.diagnosis.history import History
from cnnrecipes.diagnosis.told_verdict import ToldVerdict
from cnnrecipes.diagnosis.watch_summary import first_recent_step, layer_records
from cnnrecipes.errors import one_line
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.runs.watch_records import FILE, WatchFile, read_watch
from cnnrecipes.training.train_job import TrainJob


class LiveDiagnosis(keras.callbacks.Callback):
    """Prints one line when the verdict changes, after two epochs that agree on it. Must follow `HistoryFile`.

    It reads the history and the records of the watch, which takes a few milliseconds an epoch, and has no state of its
    own: after a resume the verdict on the restored records counts as told. An error of the diagnosis ends it with one
    line, not the training.

    Args:
        job: the training.
        state: its progress.
        say: receives the lines.
        watch: records of the watch of the layers; None: the layers are not watched.
        folder: the run folder, which remedies name; None: unknown.
    """

    def __init__(
        self,
        job: TrainJob,
        state: TrainState,
        say: Callable[[str], None],
        watch: WatchFile | None = None,
        folder: Path | None = None,
    ):
        super().__init__()
        self.epochs, self.state, self.say = job.recipe.train.epochs, state, say
        self.watch, self.folder = watch, folder
        self.evidence: Evidence | None = None
        self.job, self.over = job, False
        self.verdict = ToldVerdict()

    def on_train_begin(self, logs=None):
        with self._ending_on_errors():
            self.verdict = ToldVerdict(self._now().verdict) if self.state.history else ToldVerdict()

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 >= self.epochs or self.over:
            return  # after the last epoch the closing sentence follows
        with self._ending_on_errors():
            if line := self.verdict.changes(self._now()):
                self.say(f"epoch {epoch + 1}: {line}")

    def _now(self) -> Diagnosis:
        if self.evidence is None:
            self.evidence = evidence_of_job(self.job, self.state, self.folder, running=True)
        return diagnosed(replace(self.evidence, history=History.of(self.state.history), layers=self._layers()))

    def _layers(self) -> tuple[LayerRecord, ...]:
        steps = self.state.total_steps
        return layer_records(self.watch.table(first_recent_step(steps)), steps) if self.watch is not None else ()

    @contextlib.contextmanager
    def _ending_on_errors(self) -> Iterator[None]:
        """Context manager: an error in the block ends the diagnosis with a message, and the training continues."""
        try:
            yield
        except Exception as error:  # the training does not depend on it
            self.over = True
            self.say(_failed(error))


def closing_sentence(job: TrainJob, state: TrainState, folder: Path | None = None) -> str | None:
    """Return the diagnosis of a finished training in one sentence; None without epochs.

    An error of the diagnosis is told in the sentence.

    Args:
        job: the training.
        state: its progress, with the history.
        folder: the run folder, which remedies name and which may have records of the watch; None: unknown.
    """
    if not state.history or not job.plan.trains_by_steps:
        return None
    try:
        evidence = evidence_of_job(job, state, folder, running=False)
        if folder is not None and (watch := folder / FILE).is_file():
            evidence = replace(evidence, layers=layer_records(read_watch(watch), state.total_steps))
        return diagnosed(evidence).sentence
    except Exception as error:  # the run is finished and written
        return _failed(error)


def evidence_of_job(job: TrainJob, state: TrainState, folder: Path | None, *, running: bool) -> Evidence:
    """Return the evidence of a training that is running: its history, and the sizes of its splits."""
    pipeline = job.pipeline
    height, width, _ = pipeline.image_shape
    counts = np.bincount(pipeline.train.labels, minlength=len(pipeline.class_names))
    held_out = pipeline.source.split("validation").labels if pipeline.images("validation") else None
    return Evidence(
        recipe=job.recipe,
        history=History.of(state.history),
        classes=len(pipeline.class_names),
        image_size=(height, width),
        running=running,
        training_images=tuple(int(n) for n in counts),
        validation_images=pipeline.images("validation") or None,
        validation_majority=None if held_out is None else float(np.mean(held_out == counts.argmax())),
        stopped=state.stop_reason,
        folder=str(folder) if folder else None,
    )


def _failed(error: Exception) -> str:
    return f"diagnosis: it ended with an error, which changes nothing in the training: {one_line(error)[:300]}"

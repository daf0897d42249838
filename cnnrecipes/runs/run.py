"""The run folder and `Run`, the object that reads and writes it."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

import cnnrecipes
from cnnrecipes._support.atomic_files import write_text
from cnnrecipes._support.locks import NAME, locked
from cnnrecipes.data.images.pixel_values import say_or_warn
from cnnrecipes.data.sources.opening import UNSPLIT
from cnnrecipes.data.sources.random_access_dataset import Source
from cnnrecipes.data.unreadable_files import open_readable, open_readable_for_evaluation, warn_unreadable
from cnnrecipes.errors import CNNRecipesWarning, RunError
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.recipe.toml import read_toml
from cnnrecipes.runs import display, kept_predictions, records, unfinished_run_model, watch_records
from cnnrecipes.runs.environment import environment
from cnnrecipes.runs.evaluation import Evaluation, evaluate, predict_split
from cnnrecipes.runs.new_folder import check_place, first_free, named
from cnnrecipes.runs.predictions import Predictions
from cnnrecipes.runs.trained_model import Artifact, Prediction


class Run:
    """The folder of one training: `recipe`, `history`, `metrics`, `predict`, `evaluate`.

    The folder holds recipe.toml, environment.json, history.csv, metrics.json, predictions.parquet, checkpoints/,
    tensorboard/, the artifact model.keras and its model card README.md; failure.json if the loss became NaN. Files are
    read lazily.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._artifact: Artifact | None = None

    @classmethod
    def create(cls, workdir: str | Path, recipe: Recipe, name: str | None = None) -> Run:
        """Create a new folder `<workdir>/<name>`; an existing one is never overwritten.

        Args:
            workdir: the parent folder, created if missing.
            recipe: written to recipe.toml.
            name: of the folder; None: `<date>_<recipe>_<number>` with the first free number.

        Raises:
            RunError: the folder exists or cannot be written.
        """
        check_place(workdir, name)
        base = f"{date.today().isoformat()}_{recipe.name}"
        try:
            Path(workdir).mkdir(parents=True, exist_ok=True)
            run = cls(named(Path(workdir), name) if name is not None else first_free(Path(workdir), base))
            (run.folder / "checkpoints").mkdir()
            run.write("recipe.toml", recipe.to_toml())
            run.write("environment.json", json.dumps(environment(), indent=2))
        except OSError as error:
            raise RunError(
                f"cannot write a run folder in {str(workdir)!r} ({error.strerror}); give another folder with workdir="
            ) from None
        return run

    @classmethod
    def open(cls, folder: str | Path | Run) -> Run:
        """Open the folder of a run; a `Run` is returned unchanged. Raises RunError if it is not a run folder."""
        if isinstance(folder, Run):
            return folder
        if not isinstance(folder, (str, Path)):
            raise RunError(f"a run is opened by its path; give the path of a run folder, not {folder!r}")
        if Path(folder).is_file():
            raise RunError(f"{str(folder)!r} is a file; give the run folder it came from")
        if not (Path(folder) / "recipe.toml").is_file():
            raise RunError(
                f"{str(folder)!r} is not a run folder; give one that `fit` has created, for example "
                "runs/<date>_<recipe>_1"
            )
        return cls(folder)

    @property
    def finished(self) -> bool:
        """True if the training has completed and its metrics are written."""
        return (self.folder / "metrics.json").is_file()

    def require_unfinished(self) -> Run:
        """Return `self`, for chained calls. Raises RunError if the training has completed: it cannot be resumed."""
        if self.finished:
            raise RunError(f"{str(self.folder)!r} is finished; `cnnrecipes extend` trains it for more epochs")
        return self

    @cached_property
    def recipe(self) -> Recipe:
        """The complete recipe of the run, defaults included."""
        path = self.folder / "recipe.toml"
        return Recipe.recorded(read_toml(path), str(path))

    @property
    def history(self) -> pd.DataFrame:
        """One row per epoch: loss, accuracy, val_loss, val_accuracy, learning_rate, seconds, images_per_second.

        Raises:
            RunError: no epoch has completed, or history.csv is damaged; or the run has no epochs: it is a logistic
                regression.
        """
        path = self.folder / "history.csv"
        if not self.recipe.transfer.trains_by_steps:
            raise RunError(
                f"{str(self.folder)!r} is a logistic regression on frozen features, which has no epochs; `metrics` has "
                "its accuracy"
            )
        if not path.is_file():
            raise RunError(f"{str(self.folder)!r} has no history.csv; its training did not finish an epoch; resume it")
        return records.read_history(path)

    def watch(self) -> pd.DataFrame:
        """Return the statistics of each layer over time, from watch.csv: one row per watched step and layer.

        | column        | content                                                                                    |
        |---------------|--------------------------------------------------------------------------------------------|
        | step          | number of completed steps                                                                  |
        | layer, kind   | its name; weighted (convolution, dense), norm, activation, merge or other                  |
        | mean, std     | of the layer's output for a fixed batch of training images, at most 32                     |
        | dead          | share of channels at the activation's floor everywhere; NaN without a floor                |
        | nonfinite     | number of NaN and infinite values of the output                                            |
        | gradient_norm | L2 norm of the gradient of the mean loss with respect to all trained weights of the layer  |
        | weight_norm   | L2 norm of these weights; NaN without any                                                  |
        | update_ratio  | L2 norm of their change in the next step, divided by `weight_norm`; NaN at a non-finite    |
        |               | loss, which no step follows                                                                |
        | bin_0 ...     | histogram of the output: number of values of a sample in the bins `watch_records.EDGES`    |

        Raises:
            RunError: there is no watch.csv, or it is damaged.
        """
        path = self.folder / watch_records.FILE
        if not path.is_file():
            raise RunError(
                f"{str(self.folder)!r} has no {path.name}; train with logging.watch='1 epoch' to watch the layers, "
                "since 'auto' skips trainings of less than a minute"
            )
        return watch_records.read_watch(path)

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics at the end of the training: split to accuracy, its interval, cross entropy and n.

        `parameters` and `trainable_parameters` are the numbers of parameters of the whole model, and of those trained.

        Raises:
            RunError: the training has not completed, or metrics.json is damaged.
        """
        path = self.folder / "metrics.json"
        if not path.is_file():
            raise RunError(f"{str(self.folder)!r} has no metrics.json; its training did not finish; resume it")
        return records.read_metrics(path)

    @property
    def artifact(self) -> Artifact:
        """The trained model with its class names and preprocessing.

        For an unfinished run it has the best weights so far, and a warning is issued.

        Raises:
            RunError: the artifact is missing or damaged.
        """
        if self._artifact is None:
            if not (self.folder / "model.keras").exists() and (self.folder / unfinished_run_model.FILE).is_file():
                found, message = unfinished_run_model.best_so_far(self.folder, self.recipe)
                warnings.warn(message, CNNRecipesWarning, stacklevel=3)
                return found  # not cached, since the training may continue
            self._artifact = Artifact.load(self.folder / "model.keras")
        return self._artifact

    def keep_artifact(self, artifact: Artifact) -> None:
        """Take an artifact that was just written as model.keras, instead of loading it when it is needed."""
        self._artifact = artifact

    @property
    def model(self):
        """The trained `keras.Model`: images (N, H, W, C) 0..255 to logits (N, classes)."""
        return self.artifact.model

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in label order."""
        return self.artifact.class_names

    def predict(
        self, inputs: Any, tta: str | Sequence[str] | None = None, average: str = "probabilities"
    ) -> Prediction | list[Prediction]:
        """Return class names and probabilities for a path, an array or a list; see `Artifact.predict`."""
        return self.artifact.predict(inputs, tta, average)

    def predict_files(
        self, paths: Sequence[str | Path], tta: str | Sequence[str] | None = None, average: str = "probabilities"
    ) -> tuple[list[Prediction], dict[str, str]]:
        """Return the predictions of readable files, and the reason for each unreadable one; see `Artifact`."""
        return self.artifact.predict_files(paths, tta, average)

    def evaluate(
        self,
        data: Any = None,
        split: str | None = None,
        tta: str | Sequence[str] | None = None,
        average: str = "probabilities",
    ) -> Evaluation:
        """Measure the model on a split of the recipe's data, or on `data`.

        Args:
            data: as in `fit`, or a single split, for example `{"test": (images, labels)}`; None: the data of the run.
                A subset of the run's classes is allowed. String labels are class names, integer labels are class
                indices of the run.
            split: "train", "validation" or "test"; None: the test split, or validation if there is none. Data without
                splits is evaluated as a whole if this is None; else the recipe takes the named split from it, as in
                training.
            tta: views to average over, for example "flip_lr" or ["ten_crop(short_side=256)"]; None: no test-time
                augmentation.
            average: the quantity that is averaged over the views, "probabilities" or "logits".

        Returns:
            a dictionary: accuracy with its interval, cross entropy, n, and the others of
            `runs.classification_metrics`, with `.predictions` and, by class, `.classes`; with unreadable files in the
            split also "left_out", their number, and a warning that names the first. Files that were left out before
            the split was taken are not counted. A finished run that has no predictions.parquet keeps the predictions.

        Raises:
            DataError: unreadable data, images that do not fit the model, a class that the run does not have, or no
                such split.
        """
        artifact = self.artifact
        with self._source(data, split, artifact.class_names) as source:
            measured = source.split(split or final_split(source))
            temperature = self._temperature(measured.name)
            metrics = evaluate(artifact, measured, tta, average, temperature=temperature, source=source)
        if data is None and not tta and self.finished:
            kept_predictions.keep(self.folder, metrics.predictions)
        warn_unreadable(measured.left_out, len(measured))
        if measured.left_out:
            metrics["left_out"] = len(measured.left_out)
        return metrics

    def predictions(self, split: str = "validation") -> Predictions:
        """Return truth and probabilities of every image of a split, kept at the end of the training.

        Args:
            split: "validation" or "test". A recipe that is chosen by looking at its test mistakes needs other test
                images for its accuracy, so they are given only if asked for.

        Raises:
            RunError: there are none of this split, since the run is unfinished, of an earlier version, or a trial of a
                search: `evaluate` makes them; or predictions.parquet is damaged.
        """
        return kept_predictions.require(self.folder, split)

    def answers(self, data: Any = None, split: str | None = None) -> Predictions:
        """Return the predictions for every image of a split, with which two runs are compared; see `evaluate`.

        Kept predictions of the same images are read, otherwise the model predicts them.

        Args:
            data: as for `evaluate`.
            split: name of the split; None: the validation split, or the given data as a whole if it has no splits.
                Unlike `evaluate` it never reads the test split unasked: what is compared may be chosen by it.

        Raises:
            DataError: as `evaluate`.
        """
        kept = self.kept_predictions()
        names = next(iter(kept.values())).class_names if kept else self.class_names
        with self._source(data, split, names) as source:
            chosen = source.split(split or (UNSPLIT if UNSPLIT in source.splits else "validation"))
            found = kept_predictions.of_split(kept, chosen)
            return predict_split(self.artifact, chosen, source) if found is None else found

    def kept_predictions(self) -> dict[str, Predictions]:
        """Return split -> predictions of predictions.parquet; {} without it, and with a warning if it is damaged."""
        return kept_predictions.all_kept(self.folder) if self.finished else {}

    def _temperature(self, split: str) -> float | Literal["fit"] | None:
        """Return the temperature fitted at the end of the training; "fit" for a validation split without one."""
        with contextlib.suppress(RunError):
            validation = self.metrics.get("validation") or {}
            if (recorded := validation.get("temperature")) is not None:
                return recorded
        return "fit" if split == "validation" else None

    def report(self, data: Any = None, *, pictures: bool = True) -> Any:
        """Write report.html into the run folder; notebooks show it inline. See `cr.write_report`.

        Args:
            data: the data that was passed to `fit`, for the pictures; None: the data set of the recipe.
            pictures: show images of the data, with Grad-CAM.

        Returns:
            an object that notebooks display, with the `path` of the file.
        """
        return cnnrecipes.report.report_inline(self, data, pictures=pictures)

    def plot_confusion(self, split: str = "validation") -> Any:
        """Return the confusion matrix of a split, ordered by similarity of the classes, which notebooks display.

        Its `table` has the most confused pairs. Raises RunError: there are no predictions of this split.
        """
        return cnnrecipes.report.confusion_inline(self, split)

    def top_losses(self, split: str = "validation", n: int = 24, data: Any = None) -> Any:
        """Return the images of a split with the largest losses, which notebooks display with pictures and Grad-CAM.

        Its `table` has a row for each: file, position, truth, predicted, loss and probabilities.

        Args:
            split: "validation" or "test". A recipe that is chosen by looking at its test mistakes needs other test
                images for its accuracy.
            n: number of images.
            data: as for `report`.

        Raises:
            RunError: there are no predictions of this split.
        """
        return cnnrecipes.report.losses_inline(self, split, n, data)

    def _source(self, data: Any, split: str | None, class_names: Sequence[str]) -> Source:
        """Return the data to evaluate on: `data` if it is given, otherwise the recipe's data with its splits."""
        if data is not None:
            given = open_readable_for_evaluation(data, class_names, say_or_warn)
            if split is None or split in given.splits or UNSPLIT not in given.splits:
                return given
        source, _ = open_readable(data, self.recipe.data)
        source.check_class_names(class_names)
        return source

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the run's lock in the `with` block. Raises RunError if another process holds it."""
        with locked(self.folder / NAME) as free:
            if not free:
                raise RunError(
                    f"{str(self.folder)!r} is being trained by another process; wait for it, or stop it first"
                )
            yield

    def keep(self, recipe: Recipe) -> None:
        """Rewrite recipe.toml if `recipe` differs from the recorded one."""
        if recipe != self.recipe:
            self.write("recipe.toml", recipe.to_toml())
            self.__dict__.pop("recipe", None)

    def write(self, name: str, text: str) -> None:
        """Write a text file into the run folder atomically. Raises WriteError."""
        write_text(self.folder / name, text)

    def __repr__(self) -> str:
        return display.text(self)

    def _repr_html_(self) -> str:
        """Return the HTML display of notebooks."""
        return display.page(self)


def load(path: str | Path) -> Run | Artifact:
    """Open a run by its folder, or an artifact by its file `model.keras`; both have `predict`.

    Raises:
        RunError: neither a run folder nor a valid artifact of cnnrecipes.
    """
    if not isinstance(path, (str, Path)):
        raise RunError(f"a run is opened by its path; give the path of a run folder or a model.keras, not {path!r}")
    path = Path(path)
    if path.is_file():
        return Artifact.load(path)
    return Run.open(path)


def final_split(source: Source) -> str:
    """Return the split of the final metrics: "test", else "validation", else all of the given data."""
    return next((name for name in ("test", "validation", UNSPLIT) if name in source.splits), "validation")

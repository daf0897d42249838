"""`Predictions`: truth and probabilities of every image of a split, and their file predictions.parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cnnrecipes._support.atomic_files import write_whole
from cnnrecipes.errors import RunError, one_line

FILE = "predictions.parquet"
_ABOUT = b"cnnrecipes"  # key of the file's metadata: class names, and number and digest of the images of each split
_LEAST = float(np.finfo(np.float32).smallest_subnormal)  # a probability of 0 in float32 counts as this: 103 nats


@dataclass(frozen=True, eq=False)
class Predictions:
    """The predictions of a model on every image of a split, in the order of the split.

    Attributes:
        split: name of the split.
        class_names: in label order.
        files: a name of each image: its path relative to the data folder ("ants/a.jpg"), or "train[17]" if it is not a
            file of its own.
        positions: position of each image in the data source, from which it can be read again, (N,) int64.
        truth: its label, (N,).
        probabilities: (N, classes) float32, rows with the sum 1.
        groups: the group of each image, if the data has groups.
        images: digest of the images and labels in order, equal only for the same images; "" for a part of a split.
    """

    split: str
    class_names: tuple[str, ...]
    files: tuple[str, ...]
    positions: np.ndarray
    truth: np.ndarray
    probabilities: np.ndarray
    groups: tuple[str, ...] | None
    images: str

    def __len__(self) -> int:
        return len(self.truth)

    @cached_property
    def predicted(self) -> np.ndarray:
        """(N,) the most probable class."""
        return self.probabilities.argmax(axis=1)

    @property
    def right(self) -> np.ndarray:
        """(N,) bool, True where the prediction is the label."""
        return self.predicted == self.truth

    @property
    def confidence(self) -> np.ndarray:
        """(N,) float32, the probability of the most probable class."""
        return self.probabilities.max(axis=1)

    @property
    def losses(self) -> np.ndarray:
        """(N,) float64, cross entropy of each image in nats; at most 103, since float32 has no smaller probability.

        Near a probability of 1 it is computed from those of the other classes, which float32 resolves far better.
        """
        own = np.take_along_axis(self.probabilities, self.truth[:, None].astype(np.int64), axis=1)[:, 0].astype(float)
        others = np.clip(self.probabilities.sum(axis=1, dtype=float) - own, 0, 0.5)
        return np.where(own > 0.5, -np.log1p(-others), -np.log(np.maximum(own, _LEAST)))

    def part(self, chosen: np.ndarray) -> Predictions:
        """Return the predictions at indices, or where a mask is True, in this order."""
        places = np.arange(len(self))[chosen]
        pick = places.tolist()
        return replace(
            self,
            files=tuple(self.files[place] for place in pick),
            positions=self.positions[places],
            truth=self.truth[places],
            probabilities=self.probabilities[places],
            groups=None if self.groups is None else tuple(self.groups[place] for place in pick),
            images="",
        )

    def log_probabilities(self) -> np.ndarray:
        """Return the logarithms of the probabilities, (N, classes) float64: logits up to a constant of each row."""
        return np.log(np.maximum(self.probabilities, _LEAST, dtype=np.float64))


def write_predictions(path: Path, predictions: Sequence[Predictions]) -> None:
    """Write the predictions of splits of one run atomically, as Parquet; see `read_predictions` for the columns.

    Raises:
        WriteError: the file cannot be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    classes = len(predictions[0].class_names)
    splits = {one.split: {"n": len(one), "images": one.images, "groups": one.groups is not None} for one in predictions}
    about = {"class_names": list(predictions[0].class_names), "splits": splits}
    columns = {
        "split": pa.string(),
        "file": pa.string(),
        "position": pa.int64(),
        "truth": pa.int32(),
        "group": pa.string(),
        "probabilities": pa.list_(pa.float32(), classes),
    }
    schema = pa.schema(list(columns.items()), metadata={_ABOUT: json.dumps(about).encode()})

    def write(beside: Path) -> None:
        with parquet.ParquetWriter(str(beside), schema, compression="zstd", write_page_checksum=True) as writer:
            for one in predictions:
                writer.write_table(pa.table(_columns(one), schema=schema))

    write_whole(path, write)


def _columns(one: Predictions) -> dict[str, Any]:
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(one.probabilities, np.float32).reshape(-1))
    return {
        "split": [one.split] * len(one),
        "file": list(one.files),
        "position": one.positions.astype(np.int64),
        "truth": one.truth.astype(np.int32),
        "group": list(one.groups) if one.groups is not None else [None] * len(one),
        "probabilities": pa.FixedSizeListArray.from_arrays(flat, one.probabilities.shape[1]),
    }


def read_predictions(path: Path) -> dict[str, Predictions]:
    """Read predictions.parquet of a run: split -> its predictions.

    Its columns, for other programs: split, file, position, truth (class number), group (null without groups),
    probabilities (a list, in label order). The class names are in its metadata.

    Raises:
        RunError: the file is damaged, or is not one that `write_predictions` has written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(str(path), page_checksum_verification=True) as file:
            table = file.read()
        return {one.split: one for one in _of_table(table)}
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"cannot read {str(path)!r} ({one_line(error)}); `run.evaluate()` predicts the images again and replaces it"
        ) from None


def _of_table(table: Any) -> Iterator[Predictions]:
    """Yield the predictions of each split. Raises ValueError, KeyError or TypeError unless they are complete."""
    about = json.loads(table.schema.metadata[_ABOUT])
    names, start = tuple(map(str, about["class_names"])), 0
    for split, found in about["splits"].items():
        rows = table.slice(start, found["n"])
        start += found["n"]
        flat = rows.column("probabilities").combine_chunks().flatten().to_numpy(zero_copy_only=False)
        truth = rows.column("truth").to_numpy()
        if rows.column("split").unique().to_pylist() != [split] or len(truth) != found["n"]:
            raise ValueError(f"it does not have the {found['n']} images of {split}")
        if not ((truth >= 0) & (truth < len(names))).all():
            raise ValueError("a label is not the number of a class")
        yield Predictions(
            split,
            names,
            tuple(rows.column("file").to_pylist()),
            rows.column("position").to_numpy(),
            truth,
            flat.astype(np.float32, copy=False).reshape(len(truth), len(names)),
            tuple(rows.column("group").to_pylist()) if found["groups"] else None,
            str(found["images"]),
        )

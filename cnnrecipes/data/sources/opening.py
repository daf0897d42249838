"""Open a data set for training or for the evaluation of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cnnrecipes._support.atomic_files import is_utf8
from cnnrecipes._support.console import silent
from cnnrecipes.data.images.image_store import Pool
from cnnrecipes.data.label_corrections import with_corrections
from cnnrecipes.data.sources import registry
from cnnrecipes.data.sources.class_problems import class_problems
from cnnrecipes.data.sources.contents import SPLITS
from cnnrecipes.data.sources.data_source_base import Absent, ReadOptions
from cnnrecipes.data.sources.random_access_dataset import Source, Split, quoted
from cnnrecipes.data.sources.split_off import split_off
from cnnrecipes.errors import DataError
from cnnrecipes.recipe import schema

UNSPLIT = "data"  # name of the only split of evaluation data that has no splits


def open_source(data: Any, spec: schema.Data, say: Callable[[str], None] = silent, *, progress: bool = False) -> Source:
    """Open a data set with a validation split, and with a test split if the recipe has `data.test`.

    Args:
        data: None for `spec.name`; a name or path (of a folder, an archive or a table), a DataFrame of paths and
            labels, `(images, labels)`, a `tf.data.Dataset` of (image, label), a mapping of splits to such with an
            optional "class_names", or data of a registered `DataSource`.
        spec: the recipe's `data` table.
        say: called with one line for each conversion.
        progress: show the progress of downloads and unpacking.

    Raises:
        DataError: the data cannot be read, or images and labels do not match.
        UnknownNameError: no data set has this name.
    """
    source, problems = open_own_splits(data, spec, say, progress=progress)
    if not problems:
        source, problems = split_off(source, spec)
    if problems:
        raise DataError.of(problems)
    return source


def open_own_splits(
    data: Any, spec: schema.Data, say: Callable[[str], None] = silent, *, progress: bool = False
) -> tuple[Source, list[str]]:
    """Open a data set with the splits that it contains, without splitting off a validation or test split.

    Args: see `open_source`.

    Returns:
        the source, and the problems that prevent training on it.

    Raises:
        DataError, UnknownNameError: there is no such data set, or its type or form is not supported; or the corrections
            of its labels do not fit.
    """
    options = ReadOptions(spec.layout, say=say, progress=progress)
    data = spec.name if data is None else data
    kind = registry.find(data)
    contents = kind.read(data, options)
    splits = _whole_splits(contents.pools)
    source = Source(kind.shown_name(data), contents.class_names, splits, contents.layout)
    if spec.corrections is not None and not contents.problems:
        source = with_corrections(source, spec.corrections, say)
    return source, [*contents.problems] or class_problems(source)


def open_for_evaluation(data: Any, class_names: Sequence[str], say: Callable[[str], None] = silent) -> Source:
    """Open data on which a trained model is evaluated, with the splits that it contains.

    Args:
        data: see `open_source`, but not None; some of the model's classes suffice.
        class_names: class names of the model.

    Returns:
        a source with the model's classes; data without splits becomes one split, "data". Labels become class numbers
        of the model, by name if the data has class names.

    Raises:
        DataError: the data cannot be read, or contains a class that the model does not have.
        UnknownNameError: no data set has this name.
    """
    kind = registry.find(data)
    name = kind.shown_name(data)
    contents = kind.read(data, ReadOptions(known_classes=tuple(class_names), say=say))
    if contents.problems:
        raise DataError.of(contents.problems)
    pools = {
        split: _renumbered(name, pool, contents.class_names, class_names) for split, pool in contents.pools.items()
    }
    if set(pools) == {"train"}:
        pools = {UNSPLIT: pools["train"]}
    splits = _whole_splits({split: pools[split] for split in (*SPLITS, UNSPLIT) if split in pools})
    splits = {name: split for name, split in splits.items() if len(split)}
    if not splits:
        raise DataError(f"{name} has no images; give images of some of the classes {quoted(class_names)}")
    return Source(name, tuple(class_names), splits)


def recorded_name(data: Any) -> str:
    """Return the `data.name` that a recipe records for the argument `data`."""
    return registry.find(data).recorded_name(data)


def unrecordable(data: Any) -> list[str]:
    """Return a message if the path of the data is not UTF-8, which a recipe cannot record; otherwise an empty list."""
    name = recorded_name(data)
    return [] if is_utf8(name) else [f"the path {name!r} is not UTF-8; rename it, or give a link with another name"]


def absent(data: Any) -> Absent | None:
    """Return the metadata of data that is not on this machine; None for local data. Never uses the network.

    Raises:
        UnknownNameError: no data set has this name.
        DataError: the TFDS set is not an image classification set.
    """
    return registry.find(data).absent(data)


def _whole_splits(pools: Mapping[str, Pool]) -> dict[str, Split]:
    return {
        name: Split(name, pool.images, pool.labels, np.arange(len(pool.labels), dtype=np.int64), pool.groups)
        for name, pool in pools.items()
    }


def _renumbered(name: str, pool: Pool, class_names: Sequence[str], known: Sequence[str]) -> Pool:
    """Return the images of a split with labels that are class numbers of a model.

    `class_names` are those of the data, `known` those of the model. Raises DataError for an image of a class that the
    model does not have.
    """
    numbers = np.asarray([known.index(one) if one in known else -1 for one in class_names], np.int32)[pool.labels]
    if (numbers < 0).any():
        unknown = class_names[int(pool.labels[np.argmax(numbers < 0)])]
        raise DataError(
            f"{name} has images of the class {unknown!r}, which the model does not have; it has {quoted(known)}; "
            "leave these images out, or name the class as the model does"
        )
    return Pool(pool.images, numbers, pool.groups)

"""Classes of labels that are given as arrays: class names, and the class number of each label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cnnrecipes.data.sources.array_pair import ArrayPair
from cnnrecipes.errors import DataError


def classes_of(pairs: Iterable[ArrayPair], names: Any) -> tuple[tuple[str, ...], dict[Any, int]]:
    """Return the class names, and the class number of each label. Raise DataError if labels and names do not match."""
    distinct = _distinct(pairs)
    columns = {pair.columns for pair in pairs}
    if len(columns) > 1:
        raise DataError("one-hot labels have different numbers of classes in the splits; give the same number in each")
    (count,) = columns
    if count is not None:
        distinct = list(range(count))  # a column that is never 1 is a class, too
    if names is None:
        return tuple(str(label) for label in distinct), {label: i for i, label in enumerate(distinct)}
    names = _checked_names(names)
    by_name = all(isinstance(label, str) for label in distinct)
    outside = [label for label in distinct if (label not in names if by_name else not 0 <= label < len(names))]
    if outside:
        raise DataError(
            f"label {outside[0]!r} does not fit {len(names)} class names; "
            f"give integers 0..{len(names) - 1}, or labels from class_names"
        )
    return names, {label: names.index(label) if by_name else label for label in distinct}


def labels_of_model(pairs: Iterable[ArrayPair], names: Any, known: Sequence[str]) -> dict[Any, int]:
    """Return the class number of each label in a model with the classes `known`.

    Raises:
        DataError: a label is not one of the model's classes.
    """
    distinct = _distinct(pairs)
    index: dict[str | None, int] = {name: i for i, name in enumerate(known)}
    called: dict[Any, str | None]
    if names is not None:
        _, numbers = classes_of(pairs, names)
        called = {label: _checked_names(names)[number] for label, number in numbers.items()}
    elif any(pair.columns not in (None, len(known)) for pair in pairs):
        wrong = next(pair.columns for pair in pairs if pair.columns not in (None, len(known)))
        raise DataError(
            f"the one-hot labels have {wrong} columns, the model has {len(known)} classes; give one column per class"
        )
    else:
        numeric = all(name.lstrip("-").isdigit() for name in known) and all(pair.columns is None for pair in pairs)
        called = {
            label: label if isinstance(label, str) else str(label) if numeric else dict(enumerate(known)).get(label)
            for label in distinct
        }
    for label, name in called.items():
        if name not in index:
            raise DataError(
                f"the model has no class {name or label!r}; it has {', '.join(map(repr, known))}; leave the images "
                "of this class out, or rename it"
            )
    return {label: index[name] for label, name in called.items()}


def _distinct(pairs: Iterable[ArrayPair]) -> list[Any]:
    """Return the distinct labels of all splits, sorted. Raise DataError for a mixture of names and numbers."""
    found = set().union(*(set(pair.labels.tolist()) for pair in pairs))
    if len({isinstance(label, str) for label in found}) > 1:
        raise DataError("labels are a mixture of names and numbers; give either names or numbers in all splits")
    return sorted(found)


def _checked_names(names: Any) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise DataError(f"class_names is {names!r}; give a list of names")
    names = tuple(str(name) for name in names)
    if len(set(names)) != len(names):
        raise DataError(f"class_names repeat a name: {list(names)}; give each name once")
    return names

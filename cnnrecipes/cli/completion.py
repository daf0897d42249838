"""Shell completion of recipe names, recipe keys and values; imports neither TensorFlow nor NumPy."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import typer


def recipe_names(incomplete: str) -> list[tuple[str, str]]:
    """Return the shipped recipes that begin with `incomplete`, each with its summary."""
    from cnnrecipes.recipe import catalog

    return [(name, catalog.summary(name)) for name in catalog.names() if name.startswith(incomplete)]


def recipe_keys(context: typer.Context, incomplete: str) -> list[str]:
    """Return recipe keys, each followed by "=", and after "key=" the values of a key that has a fixed set of them."""
    return _complete_key(context, incomplete, _annotations())


def resumable_keys(context: typer.Context, incomplete: str) -> list[str]:
    """Complete like `recipe_keys`, but offer only keys that may change when a run is resumed."""
    from cnnrecipes.recipe.keys_and_defaults import RESUMABLE

    annotations = {key: kind for key, kind in _annotations().items() if key.partition(".")[0] in RESUMABLE}
    return _complete_key(context, incomplete, annotations)


def extensions(incomplete: str) -> list[str]:
    """Return the registered extensions of a schedule that begin with `incomplete`."""
    from cnnrecipes.optim.schedule_extension_registry import EXTENSIONS

    return _beginning(EXTENSIONS, incomplete)


def experiments(incomplete: str) -> list[str]:
    """Return the experiments that begin with `incomplete`."""
    from cnnrecipes.experiments import EXPERIMENTS

    return _beginning(EXPERIMENTS, incomplete)


def values_of(key: str) -> Callable[[str], list[str]]:
    """Return a completion function for an option that has the values of a recipe key."""

    def complete(incomplete: str) -> list[str]:
        return _beginning(_values(_annotations()[key]), incomplete)

    return complete


def words(*choices: str) -> Callable[[str], list[str]]:
    """Return a shell completion function for an option whose values are `choices`."""

    def complete(incomplete: str) -> list[str]:
        return _beginning(choices, incomplete)

    return complete


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _complete_key(context: typer.Context, incomplete: str, annotations: Mapping[str, Any]) -> list[str]:
    before = context.params.get("changes") or []
    if (key := _key_before(before, incomplete, annotations)) is not None:
        return _beginning(_values(annotations.get(key)), incomplete)
    key, equals, value = incomplete.partition("=")
    if not equals:
        return [f"{name}=" for name in annotations if name.startswith(key)]
    return [f"{key}={one}" for one in _beginning(_values(annotations.get(key)), value)]


def _key_before(before: Sequence[str], incomplete: str, keys: Container[str]) -> str | None:
    """Return the key before the word to complete if the shell split the argument at "=", as bash does; else None."""
    if len(before) > 1 and before[-1] == "=":
        return before[-2]
    if before and before[-1] in keys and not incomplete:  # the "=" itself is the word to complete
        return before[-1]
    return None


def _annotations() -> dict[str, Any]:
    """Return all dotted keys of a recipe with their types."""
    from cnnrecipes.recipe.keys_and_defaults import all_keys
    from cnnrecipes.recipe.schema import Recipe

    def annotation(key: str) -> Any:
        model: Any = Recipe
        for name in key.split("."):
            model = model.model_fields[name].annotation
            model = next((one for one in get_args(model) if hasattr(one, "model_fields")), model)
        return model

    return {key: annotation(key) for key in all_keys()}


def _values(annotation: Any) -> Iterator[str]:
    """Yield the values of Literal and bool types, also within a union, as they are written in KEY=VALUE."""
    if annotation is bool:
        yield from ("true", "false")
    elif get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    elif get_origin(annotation) is not tuple:
        for one in get_args(annotation):
            yield from _values(one)

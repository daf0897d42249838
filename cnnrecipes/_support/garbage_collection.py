"""Control of Python's garbage collector: it runs after each training, and is off during large imports."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def collect_garbage_afterwards(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function to run the garbage collector when it returns or raises.

    Python starts a collection by the number of objects; models and optimizers are few objects in cycles, but large.
    """

    @wraps(function)
    def collecting(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        finally:
            gc.collect()

    return collecting


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Switch the garbage collector off, for an import that makes very many objects and hardly any garbage.

    The collections that these objects would start are a fifth of the time of importing TensorFlow.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
